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

    Uses the archive alone and touches nothing that runs. The result is recorded; alerts watch its age. In AWS
    and on a cluster it is the newest moment, beside what serves, and its contents are not looked at.

    Example: renecinfra drill prod
    """
    from renecinfra.cli.recovery_views import show_drill
    from renecinfra.provision import drilling

    console = open_console(json_output=json_output, quiet=quiet)
    if (cloud := open_aws(env, console)) is not None:
        from renecinfra.cli import aws_recovery

        return aws_recovery.drill(cloud, console)
    if (site := open_cluster(env, console)) is not None:
        from renecinfra.cli import cluster_recovery

        return cluster_recovery.drill(site, console)
    session = open_environment(env, console)
    done = drilling.drill(session, arguments())
    if json_output:
        console.json({"environment": env, "ok": True, **done.facts()})
    else:
        show_drill(console, session.profile, done)
    return 0
