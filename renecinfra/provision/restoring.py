"""`restore`: plan, confirm, beside, check, cut over, rebuild, protect; and undo, finish, abort.

Each step is journaled and noted in the restore's own state, so that a run that was cut off is gone on with by
``--resume``, or taken back: by ``--abort`` as long as nothing was touched, by ``--undo`` afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from renecinfra.errors import RestoreError, SecretsError
from renecinfra.hooks.protocol import Check
from renecinfra.journal import Run
from renecinfra.provision.restore_result import RestoreResult
from renecinfra.provision.session import Session
from renecinfra.recovery.driver import Cutover, RecoveryDriver
from renecinfra.recovery.engine.checking import Finding, TableContent, require
from renecinfra.recovery.engine.recipe import Replayed
from renecinfra.recovery.engine.state import RestoreState, StateFile, Step
from renecinfra.recovery.plan import RestorePlan
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.targets import RecoveryTarget

# Below these, starting and stopping is most of the time, and says nothing of a larger database.
_FILES_MEASURED: Final = 256 << 20
_WAL_MEASURED: Final = 128 << 20
_VERIFY_SECONDS: Final = 30.0
_VERIFY_PAUSE: Final = 0.5

Confirm = Callable[[RestorePlan], None]
"""Shows a plan and asks; raises DeclinedError when the answer is no."""


@dataclass
class _Seen:
    """What the steps of this run have seen; a resumed run has only its own."""

    findings: list[Finding] = field(default_factory=list)
    tables: list[TableContent] = field(default_factory=list)
    cutover: Cutover | None = None


def driver_for(session: Session, source: str | None = None) -> RecoveryDriver:
    """The driver of the environment's platform; ``source`` names another environment whose backups are meant.

    Raises:
        RestoreError: one of them has no backups, or the two do not go together.
    """
    from renecinfra.platforms.local.recovery import LocalRecovery

    protected = None
    if source is not None and source != session.name:
        protected = _source(session, source)
    elif not session.profile.backups.enabled:
        raise _without_backups(session.name)
    try:
        secrets = session.existing_secrets()
    except SecretsError as error:
        # A database can be brought back without them: writers are then not held, but lose their connection.
        session.reporter.warn(f"the secrets cannot be had: {error.message}")
        secrets = {}
    return LocalRecovery(session.environment, session.supervision, secrets, source=protected)


def _source(session: Session, name: str) -> ProtectedDatabase:
    """The database of another environment, whose backups this one can be given."""
    from renecinfra.platforms.local import backups
    from renecinfra.provision.session import open_session

    other = open_session(session.workspace, name, session.reporter)
    if not other.profile.backups.enabled:
        raise _without_backups(name)
    ours, theirs = session.profile.database, other.profile.database
    if (ours.name, ours.user) != (theirs.name, theirs.user):
        raise RestoreError(
            "restore-into-other",
            f"{name} has a database {theirs.name} of {theirs.user}, and {session.name} one {ours.name} of "
            f"{ours.user}: what is restored would not be found",
            hint="give both environments the same database.name and database.user",
        )
    return backups.protected(other.profile, other.environment.host)


def _without_backups(name: str) -> RestoreError:
    return RestoreError(
        "restore-no-backup",
        f"{name} has no backups: backups.enabled is false in its profile",
        hint="set backups.enabled to true and run `renecinfra up`, for the next time",
    )


def state_file(session: Session) -> StateFile:
    """Where the restore that is under way is noted."""
    return StateFile(session.paths.state / "restore.json")


def plan(
    session: Session, target: RecoveryTarget, *, from_backup: str | None, source: str | None = None
) -> RestorePlan:
    """What a restore would do; changes nothing.

    Raises:
        RestoreError: the target cannot be reached.
    """
    with session.reporter.step("Planning the restore"):
        return driver_for(session, source).plan(target, from_backup=from_backup)


def restore(
    session: Session,
    target: RecoveryTarget,
    confirm: Confirm,
    argv: Sequence[str],
    *,
    from_backup: str | None = None,
    source: str | None = None,
) -> RestoreResult:
    """Restore to a target, from the plan to the new backup; ``source`` is whose backup, if not its own.

    Raises:
        DeclinedError: the confirmation was refused; nothing has changed.
        RestoreError: it is refused, or a step failed; the running database serves, unless the error says not.
        LockedError: another run holds the environment.
    """
    with session.locked("restore", argv) as run:
        file = state_file(session)
        refuse_unfinished(file.read())
        with run.step("plan"):
            made = plan(session, target, from_backup=from_backup, source=source)
        confirm(made)
        driver = driver_for(session, source)
        state = replace(driver.begin(made, tuple(argv)), environment=session.name, source=source)
        file.write(state)
        return go_on(session, run, driver, state)


def resume(session: Session, argv: Sequence[str]) -> RestoreResult:
    """Go on with a restore that was cut off or failed.

    Raises:
        RestoreError: there is none, or a step fails again.
    """
    with session.locked("restore", argv) as run:
        state = require_state(state_file(session).read(), session.name)
        if state.undoing:
            raise RestoreError(
                "restore-undoing",
                f"the restore {state.id} is being undone",
                hint=f"run `renecinfra restore {session.name} --undo`, which goes on with that",
            )
        if state.is_done(Step.DONE):
            raise RestoreError(
                "restore-done",
                f"the restore {state.id} is done; there is nothing to go on with",
                hint=f"`renecinfra restore {session.name} --finish` removes the old database, `--undo` "
                "goes back",
            )
        return go_on(session, run, driver_for(session, state.source), state)


# --- steps


def go_on(session: Session, run: Run, driver: RecoveryDriver, state: RestoreState) -> RestoreResult:
    """Every step that is not done yet."""
    began = time.monotonic()
    file, reporter, seen = state_file(session), session.reporter, _Seen()

    def step(which: Step, words: str, work: Callable[[Callable[[str], None]], RestoreState]) -> None:
        nonlocal state
        if state.is_done(which):
            return
        started = time.monotonic()
        with run.step(which.value), reporter.progress(words) as progress:
            done = work(lambda text: progress.advance(0, text))
        state = done.with_done(which, time.monotonic() - started)
        file.write(state)

    def check(note: Callable[[str], None]) -> RestoreState:
        findings, tables = driver.check(state, note)
        seen.findings, seen.tables = findings, tables
        require(findings, state.environment)
        return state

    def cut_over(_note: Callable[[str], None]) -> RestoreState:
        done, seen.cutover = driver.cut_over(state)
        return done

    bringing = f"Bringing the files of backup {state.recipe.label}"
    step(Step.FETCH, bringing, lambda note: driver.fetch(state, note))
    step(Step.REPLAY, "Replaying WAL", lambda note: driver.replay(state, _telling(note)))
    step(Step.CHECK, "Checking the restored database", check)
    step(Step.READY, "Making it ready to be adopted", lambda _: driver.ready(state))
    step(Step.CUTOVER, "Changing places with the running database", cut_over)
    step(Step.REBUILD, "Rebuilding replica and receiver", lambda note: driver.rebuild(state, note))
    step(
        Step.PROTECT,
        "Taking a new full backup",
        lambda _: driver.protect(state, f"restored to {state.target}"),
    )
    checks = verified(session, run)
    state = state.with_done(Step.DONE, 0)
    file.write(state)
    seconds = time.monotonic() - began
    _remember(session, state, seconds, seen)
    cutover = seen.cutover
    return RestoreResult(
        state,
        tuple(seen.findings),
        tuple(seen.tables),
        cutover.held if cutover else None,
        cutover.warnings if cutover else (),
        checks,
        seconds,
    )


def _telling(note: Callable[[str], None]) -> Callable[[Replayed], None]:
    def tell(seen: Replayed) -> None:
        note(f"at {seen.lsn}" + (f", {seen.at:%Y-%m-%d %H:%M:%S} UTC" if seen.at else ""))

    return tell


def verified(session: Session, run: Run) -> tuple[Check, ...]:
    """Logins for people, then what a client sees; the environment is asked for some seconds.

    Raises:
        RestoreError: it does not serve; says what, and how to go back.
    """
    from renecinfra.platforms.local import verification
    from renecinfra.provision.bring_up import offer_logins

    secrets = session.existing_secrets()
    if set(session.environment.references()) - set(secrets):
        raise RestoreError(
            "restore-not-asked",
            "the database is in place, but the environment cannot be asked whether it serves, because its "
            "secrets cannot be had",
            hint=f"run `renecinfra up {session.name}`, then `renecinfra restore {session.name} --resume`",
        )
    try:
        offer_logins(session)
    except SecretsError as error:
        session.reporter.warn(f"nobody can be given a login to the database: {error.message}")
    with run.step("verify"), session.reporter.step("Verifying through the edge"):
        deadline = time.monotonic() + _VERIFY_SECONDS
        while True:
            checks = tuple(verification.verify(session.environment, session.supervision, secrets))
            bad = [check for check in checks if not check.ok]
            if not bad or time.monotonic() > deadline:
                break
            time.sleep(_VERIFY_PAUSE)
    if bad:
        raise RestoreError(
            "restore-not-serving",
            f"the database is in place, but {bad[0].name} is not right: {bad[0].detail}",
            details=tuple(f"{check.name}: {check.detail}" for check in bad[1:]),
            hint=f"see `renecinfra status {session.name}`; then `restore {session.name} --resume`, or "
            "`--undo`",
        )
    return checks


def _remember(session: Session, state: RestoreState, seconds: float, seen: _Seen) -> None:
    """The record of the restore, with the speeds that the next plan estimates from."""
    from renecinfra.platforms.local import backups
    from renecinfra.recovery.records import Records

    speeds: dict[str, Any] = {}
    if state.bytes >= _FILES_MEASURED:
        speeds["files_bytes_per_second"] = round(state.bytes / max(state.done[Step.FETCH], 0.1))
    if state.wal >= _WAL_MEASURED:
        speeds["replay_bytes_per_second"] = round(state.wal / max(state.done[Step.REPLAY], 0.1))
    Records(backups.protected(session.profile, session.environment.host)).append(
        "restore",
        id=state.id,
        target=state.target,
        backup=state.recipe.label,
        seconds=round(seconds, 2),
        held=round(seen.cutover.held, 3) if seen.cutover else None,
        steps=dict(state.done),
        **speeds,
    )


def require_state(state: RestoreState | None, environment: str) -> RestoreState:
    """The restore that there is.

    Raises:
        RestoreError: there is none.
    """
    if state is None:
        raise RestoreError(
            "restore-none",
            f"no restore of {environment} is under way or can be undone",
            hint=f"`renecinfra restore {environment} --to TIME` begins one",
        )
    return state


def refuse_unfinished(state: RestoreState | None) -> None:
    """Refuse to begin another restore while one is under way, or can still be undone.

    Raises:
        RestoreError: one is, or can.
    """
    if state is None:
        return
    if state.is_done(Step.DONE):
        raise RestoreError(
            "restore-kept",
            f"the database before the restore to {state.target} is still kept",
            hint=f"`renecinfra restore {state.environment} --finish` removes it, `--undo` goes back to it",
        )
    raise RestoreError(
        "restore-unfinished",
        f"a restore to {state.target} was begun and is not done: it came to {last_step(state)}",
        hint=f"`renecinfra restore {state.environment} --resume` goes on with it, `--undo` takes it back",
    )


def last_step(state: RestoreState) -> str:
    """The last step that was finished, for people."""
    return max(state.done, key=lambda name: list(Step).index(Step(name)), default="nothing yet")
