"""`drill`: prove that the backups can be restored."""

from __future__ import annotations

from renecinfra.cli.aws import open_aws
from renecinfra.cli.options import (
    Debug,
    Env,
    Json,
    Quiet,
    arguments,
    open_cluster,
    open_console,
    open_environment,
)


def drill(
    env: Env,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001 - read by main
) -> int:
    """Rehearse a restore: the newest backup to a random moment, checked and timed, then removed.

    Uses the archive alone and touches nothing that runs. The result is recorded; alerts watch its age. In
    AWS and on a cluster it is the newest moment, beside what serves; in AWS no alert watches the age.

    Example: renecinfra drill prod
    """
    from renecinfra.cli.recovery_views import show_drill, show_rehearsal

    console = open_console(json_output=json_output, quiet=quiet)
    if (cloud := open_aws(env, console)) is not None:
        from renecinfra.provision.aws import drilling as in_aws

        return show_rehearsal(console, in_aws.drill(cloud, arguments()))
    if (site := open_cluster(env, console)) is not None:
        from renecinfra.provision.kubernetes import drilling as on_cluster

        return show_rehearsal(console, on_cluster.drill(site, arguments()))
    from renecinfra.provision import drilling

    session = open_environment(env, console)
    done = drilling.drill(session, arguments())
    if json_output:
        console.json({"environment": env, "ok": True, **done.facts()})
    else:
        show_drill(console, session.profile, done)
    return 0
