"""A restore on the local platform: beside the running primary's data, then in its place by an exchange of
names.

Ports, services and configuration stay as they are: what the primary is, is the directory that bears its
name. So `up` after a restore has nothing to do, and no moment is without a database: both directories change
places at once (renameat2), and a mark in the restored one says which of them is where.
"""

from __future__ import annotations

import contextlib
import secrets as random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from renecinfra.errors import RenecError, RestoreError, ToolError
from renecinfra.platforms.local import (
    adoption,
    backups,
    circumstances,
    databases,
    following,
    pausing,
    promotion,
    protecting,
    silencing,
)
from renecinfra.platforms.local.environment import LocalEnvironment
from renecinfra.platforms.local.places import Places
from renecinfra.recovery import failover, heartbeat
from renecinfra.recovery.driver import Cutover, FailoverPlan, Note, Watch
from renecinfra.recovery.engine import checking, tables
from renecinfra.recovery.engine.beside import Beside
from renecinfra.recovery.engine.checking import Finding, TableContent
from renecinfra.recovery.engine.files import OwnedFiles
from renecinfra.recovery.engine.state import RestoreState, begin, begin_failover
from renecinfra.recovery.engine.tables import TableReturn
from renecinfra.recovery.plan import RestorePlan
from renecinfra.recovery.planning import Planner
from renecinfra.recovery.primary import PrimaryState, read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import Records
from renecinfra.recovery.repository import PgBackRest
from renecinfra.recovery.targets import LatestTarget, RecoveryTarget
from renecinfra.secrets.store import ResolvedSecrets
from renecinfra.services.supervision import Supervision

if TYPE_CHECKING:
    pass

_SILENCE: Final = timedelta(minutes=30)


class LocalRecovery:
    """The driver of one local environment; see ``recovery.driver.RecoveryDriver``."""

    def __init__(
        self,
        environment: LocalEnvironment,
        supervision: Supervision,
        secrets: ResolvedSecrets,
        *,
        source: ProtectedDatabase | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            environment: whose database is replaced.
            supervision: its services.
            secrets: its secrets, as far as they are to be had.
            source: whose backups are restored; its own, when None.
        """
        self.profile = environment.profile
        self.host = environment.host
        self.database = backups.protected(self.profile, self.host)
        self.source = source or self.database
        self.files = OwnedFiles(self.database.identity)
        self._supervision = supervision
        self._secrets = secrets
        self.places = Places(self.host)

    # --- planning

    def serves(self) -> bool:
        """Whether a primary runs that takes writes."""
        return self.primary_state() is not None

    def primary_state(self, of: ProtectedDatabase | None = None) -> PrimaryState | None:
        """The running primary; None where none takes writes."""
        try:
            state = read_state(of or self.database)
        except ToolError:
            return None
        return None if state.in_recovery else state

    def plan(self, target: RecoveryTarget, *, from_backup: str | None = None) -> RestorePlan:
        """What a restore would do; a primary that runs is given one more commit, so that the target has an
        end.
        """
        with contextlib.suppress(RenecError):
            heartbeat.beat(self.source)
        state = self.primary_state(self.source)
        own = self.source is self.database
        replica = self.places.replica if own and self.profile.database.replicas else None
        found = circumstances.look(self.source, state, target, self.places.restores, replica)
        if replica is not None and isinstance(target, LatestTarget):
            found = replace(found, alternatives=self._alternatives(state))
        return Planner(self.source, found).plan(target, from_backup=from_backup)

    def _alternatives(self, state: PrimaryState | None) -> tuple[str, ...]:
        command = f"`renecinfra failover {self.profile.environment}`"
        if state is not None:
            return (f"the primary runs and takes writes: {command} changes to the replica",)
        if self._supervision.health(databases.REPLICA).ok:
            return (f"{command} promotes the replica in seconds, with all that it received",)
        return ()

    # --- beside

    def begin(self, plan: RestorePlan, said: tuple[str, ...]) -> RestoreState:
        """A state with a name of its own and a directory beside the primary's."""
        id_ = _name()
        return begin(plan, self.places.restores / id_, id_, said)

    def beside(self, state: RestoreState) -> Beside:
        """The restored database."""
        marker = f"{self.host.paths.home}/restore"
        database = replace(self.source, socket=self.database.socket, port=self.database.port)
        return Beside(database, Path(state.place), purpose="restore", marker=marker)

    def fetch(self, state: RestoreState, note: Note) -> RestoreState:
        """Bring the files; a backup that proves damaged is remembered, and the one before it offered."""
        try:
            self.beside(state).fetch(state.recipe, note)
        except RestoreError as error:
            if error.id in ("backup-corrupt", "backup-file-missing"):
                Records(self.source).append("backup-damaged", ok=False, label=state.recipe.label)
                older = [
                    one.label
                    for one in PgBackRest(self.source).info().of_current()
                    if one.label < state.recipe.label
                ]
                raise RestoreError(
                    "backup-damaged",
                    f"backup {state.recipe.label} is damaged: {error.message}",
                    details=error.details,
                    hint=f"run the restore with --abort, then again with --from-backup {older[-1]}, the "
                    "one before"
                    if older
                    else "there is no older backup; the other repository or the replica may help",
                ) from None
            raise
        return state

    def replay(self, state: RestoreState, watch: Watch) -> RestoreState:
        """Replay, and hold the end against what was computed."""
        beside = self.beside(state)
        beside.start(state.recipe)
        end = beside.watch(watch)
        wrong = state.expectation.shortfall(end.fork, end.last_commit)
        if wrong:
            beside.stop()
            raise RestoreError(
                "restore-short",
                f"the replay did not end where it had to: {wrong}",
                hint=f"the running database was not touched; `restore {state.environment} --abort` "
                "removes the "
                "restored one; `backup ENV verify` looks for what is wrong with the archive",
                details=beside.log_tail(),
            )
        return replace(state, end=end)

    def return_tables(self, state: RestoreState, names: Sequence[str]) -> list[TableReturn]:
        """Tables of the restored database into the running one."""
        beside = self.beside(state)
        beside.serve()
        schema = f"restored_{state.id[:15].lower().replace('t', '_')}"
        return tables.bring_back(beside, names, schema)

    def check(self, state: RestoreState, note: Note) -> tuple[list[Finding], list[TableContent]]:
        """Look at it from inside."""
        beside = self.beside(state)
        beside.serve()
        return checking.inspect(beside, dict(self.database.assertions), note)

    def ready(self, state: RestoreState) -> RestoreState:
        """Today's roles and passwords, a mark, a clean stop, checksums, and WAL that will be archived."""
        beside = self.beside(state)
        etc = self.host.paths.etc / databases.PRIMARY
        scripts = [etc / "bootstrap.sql", etc / "roles.sql"]
        beside.serve()
        with beside.connected() as connection:
            if self.source is not self.database:
                adoption.close_logins(connection)
            # Its login is made anew for OpenBao, which finds that it is not known any more.
            connection.execute("SET log_min_error_statement = panic")
            row = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'renec_vault'").fetchone()
            if row is not None:
                connection.execute("ALTER ROLE renec_vault PASSWORD NULL")
        psql = [self.host.binaries["psql"], "-Xqw", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"]
        where = ["-h", str(beside.socket), "-p", str(beside.port), "-U", "postgres", "-d", "postgres"]
        self.files.run(*psql, *where, *(word for path in scripts for word in ("-f", str(path))))
        beside.stop()
        checking.require([checking.checksums(beside)], state.environment)
        adoption.note_bootstrap(beside, scripts)
        adoption.mark_for_archive(beside)
        self.places.mark(beside.cluster, state)
        return state

    # --- cutover

    def adopted(self, state: RestoreState) -> bool:
        """Whether the restored database is in the primary's place."""
        return self.places.adopted(state)

    def plan_failover(self) -> FailoverPlan:
        """What promoting the replica would do, and whether another way loses less."""
        return failover.plan(self.database, self._replica_port(), self.primary_state(), self.plan)

    def begin_failover(self, said: tuple[str, ...]) -> RestoreState:
        """A failover to begin with."""
        id_ = _name()
        size = self.files.size(self.places.replica)
        return begin_failover(self.profile.environment, self.places.restores / id_, id_, said, size)

    def _replica_port(self) -> int:
        if not self.profile.database.replicas:
            raise RestoreError(
                "failover-no-replica",
                f"{self.profile.environment} has no replica: database.replicas is 0 in its profile",
                hint=f"`renecinfra restore {self.profile.environment} --latest` brings the database back",
            )
        return self.profile.local.port("postgresql_replica")

    def cut_over(self, state: RestoreState) -> tuple[RestoreState, Cutover]:
        """Change places while writers wait; put everything back if the restored database does not serve."""
        state = self._silenced(state)
        taken = promotion.taken_timelines(self.database) if state.kind == "failover" else set()
        with pausing.paused(self.profile, self.host, self._secrets) as pause:
            source = self.places.beside(state)
            if state.kind == "failover":
                source = self.places.replica
                if not self.adopted(state):
                    port, alive = self._replica_port(), self.serves()
                    promotion.promote(
                        self.database,
                        self.places,
                        self._supervision,
                        state,
                        port=port,
                        taken=taken,
                        alive=alive,
                    )
            else:
                self._supervision.stop(databases.PRIMARY)
            kept = self.places.adopt(state, source)
            try:
                self._supervision.restart(databases.PRIMARY)
            except BaseException:
                if kept and state.kind == "restore":
                    self._supervision.stop(databases.PRIMARY)
                    self.places.give_back(state)
                    self._supervision.restart(databases.PRIMARY)
                raise
        return replace(state, kept=kept), Cutover(pause.seconds, tuple(pause.warnings))

    def _silenced(self, state: RestoreState) -> RestoreState:
        if state.silence is not None:
            return state
        return replace(state, silence=silencing.silence(self.profile, f"{state.kind} {state.id}", _SILENCE))

    def go_back(self, state: RestoreState) -> tuple[RestoreState, Cutover]:
        """The old database in its place again; the restored one is left beside."""
        if not state.kept:
            raise RestoreError(
                "restore-nothing-to-undo",
                "the database before the restore is not there any more, so there is nothing to go back to",
                hint="restore to another target instead",
            )
        state = self._silenced(state)
        with pausing.paused(self.profile, self.host, self._secrets) as pause:
            self._supervision.stop(databases.PRIMARY)
            self.places.give_back(state)
            self._supervision.restart(databases.PRIMARY)
        return state, Cutover(pause.seconds, tuple(pause.warnings))

    # --- afterwards

    def rebuild(self, state: RestoreState, note: Note) -> RestoreState:
        """Replica and receiver start over from the primary that runs; each makes its slot."""
        if self.profile.backups.receiver:
            note("starting the WAL receiver anew")
            following.receive(self.database, self._supervision)
        if self.profile.database.replicas:
            note("copying the replica anew")
            following.follow(self.database, self._supervision, self.places.replica, state.bytes)
        return state

    def protect(self, state: RestoreState, reason: str) -> RestoreState:
        """The lineage, then a full backup of the timeline that is new, then alerts as before."""
        if protecting.protect(self.database, state, reason):
            # It is another database to the service, which prepares itself for one when it starts.
            self._supervision.restart(backups.NAME)
        if state.silence is not None:
            silencing.unsilence(self.profile, state.silence)
        return replace(state, silence=None)

    def discard(self, state: RestoreState) -> int:
        """Remove what is beside; never what is in the primary's place."""
        place = self.places.require_place(state)
        size = self.files.size(place)
        self.beside(state).remove()
        if state.silence is not None:
            silencing.unsilence(self.profile, state.silence)
        return size


def _name() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{random.token_hex(3)}"
