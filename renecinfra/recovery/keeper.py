"""What the service ``backups`` does: has a first backup proven, then keeps to the schedule and looks
around."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from renecinfra.errors import RenecError
from renecinfra.recovery import heartbeat, jobs, receiver
from renecinfra.recovery.lineage import Lineage
from renecinfra.recovery.metrics import Progress
from renecinfra.recovery.observation import Observation, Observer
from renecinfra.recovery.primary import read_state
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.records import OBSERVATION, READY, STATE, Records, write_document
from renecinfra.recovery.repository import BackupType, PgBackRest
from renecinfra.recovery.schedule import Job, due
from renecinfra.recovery.window import keep_control_file

_LOG: Final = logging.getLogger("backups")
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 30.0
_LOOK_SECONDS: Final = 30.0
# What is wrong is looked at again soon: a server that was being restarted is not wrong for half a minute.
_LOOK_AGAIN_SECONDS, _LOOK_AGAIN_MOST = 2.0, 8.0
_PAUSE_AFTER_FAILURE: Final = 300.0
# From one look at heartbeat and archive to the next; a beat that failed is made up for at the next one.
_BEAT_SECONDS: Final = 10.0


class Keeper:
    """The service's work, in threads of its own."""

    def __init__(self, database: ProtectedDatabase) -> None:
        self.database = database
        self._tool = PgBackRest(database)
        self._records = Records(database)
        self._observer = Observer(database)
        self._stop = threading.Event()
        self._ready = False
        self._doing = "starting"
        self._begun: dict[Job, datetime] = {}
        self._succeeded: dict[Job, datetime] = {}
        self._failed: dict[Job, datetime] = {}
        self._seen: Observation | None = None

    def progress(self) -> Progress:
        """What it does, for metrics."""
        return Progress(self._ready, self._doing, dict(self._succeeded), dict(self._failed))

    def seen(self) -> Observation | None:
        """How recovery stood at the last look; None before the first."""
        return self._seen

    def start(self) -> None:
        """Begin; returns at once."""
        make_directories(self.database)
        for name, target in (("schedule", self._run), ("heartbeat", self._beat), ("look", self._look)):
            threading.Thread(target=target, name=name, daemon=True).start()

    def stop(self) -> None:
        """Ask the threads to end; what pgBackRest is at ends with the process."""
        self._stop.set()

    # --- heartbeat and looking around

    def _beat(self) -> None:
        self._until_done("heartbeat", lambda: heartbeat.prepare(self.database))
        overdue = self.database.policy.archive_timeout + heartbeat.GRACE
        due = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= due:
                    heartbeat.beat(self.database)
                    due = time.monotonic() + heartbeat.INTERVAL
                switched = heartbeat.switch_overdue(self.database, overdue)
                if switched is not None:
                    _LOG.info("had %s archived: PostgreSQL did not by itself", switched)
            except RenecError as error:
                _LOG.warning("no heartbeat: %s", error.message)
            self._stop.wait(_BEAT_SECONDS)

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            if self._ready:
                break
        pause = _LOOK_AGAIN_SECONDS
        while not self._stop.is_set():
            sound = False
            try:
                self._seen = self._observer.observe()
                sound = self._seen.sound
                write_document(
                    Path(self.database.work) / OBSERVATION, self._seen.document(), self.database.identity
                )
                receiver.prune(self.database, self._seen)
            except OSError as error:
                _LOG.warning("looking around: %s", error)
            self._stop.wait(_LOOK_SECONDS if sound else pause)
            pause = _LOOK_AGAIN_SECONDS if sound else min(2 * pause, _LOOK_AGAIN_MOST)

    # --- schedule

    def _run(self) -> None:
        self._until_done("preparing", self._prepare)
        while not self._stop.wait(1.0):
            wal = self._seen.wal_since_backup if self._seen is not None else None
            now = datetime.now(UTC)
            # After a clock that was ahead was set back, nothing would be due until it gets there again.
            self._begun = {job: min(begun, now) for job, begun in self._begun.items()}
            job = due(self.database.policy, now, self._begun, wal_bytes=wal)
            if job is not None:
                self._attempt(job)

    def _attempt(self, job: Job) -> None:
        begun = datetime.now(UTC)
        self._say(str(job))
        try:
            self._do(job)
            self._succeeded[job] = datetime.now(UTC)
            self._say("waiting")
        except RenecError as error:
            self._failed[job] = datetime.now(UTC)
            _LOG.error("%s: %s (%s)", job, error.message, "; ".join(error.details))
            self._say("waiting", f"{job}: {error.message}")
            # Another try, before the next time that is scheduled; not at once.
            self._stop.wait(_PAUSE_AFTER_FAILURE)
            return
        self._begun[job] = begun

    def _do(self, job: Job) -> None:
        if job in (Job.FULL, Job.INCREMENTAL):
            kind: BackupType = "full" if job is Job.FULL else "incr"
            taken = jobs.take_backup(self._tool, kind, reason="schedule")
            _LOG.info("%s backup %s in %.1f s", job, taken.backups[0].label, taken.seconds)
        elif job is Job.VERIFY:
            jobs.verify_and_record(self._tool, read_state(self.database))
        else:
            jobs.drill(self.database)

    # --- the first backup

    def _prepare(self) -> None:
        state = read_state(self.database)
        Lineage(self.database).record(state.system_id, state.timeline, "first seen")
        keep_control_file(self._tool, state.system_id)
        self._say("preparing the repositories")
        repository = jobs.ensure_stanza(self._tool, state.system_id)
        lacking = tuple(
            place.number for place in self.database.repositories if not repository.of_current(place.number)
        )
        proven = self._records.last("verify", ok=True)
        if lacking:
            self._say("taking the first backup")
            jobs.take_backup(self._tool, "full", reason="first", repositories=lacking)
        if lacking or proven is None:
            self._say("verifying the first backup")
            jobs.verify_and_record(self._tool, None)
        self._recall()
        ready = {"system_id": state.system_id, "at": datetime.now(UTC).isoformat()}
        write_document(Path(self.database.work) / READY, ready, self.database.identity)
        self._ready = True
        self._say("waiting")
        _LOG.info("the running database has a verified backup")

    def _recall(self) -> None:
        """When each job was last begun, from the records; one that never was counts from now."""
        now = datetime.now(UTC)
        self._begun = dict.fromkeys(Job, now)
        for record in self._records.all("backup", "verify", "drill"):
            job = _job_of(record.kind, str(record.facts.get("type", "")))
            if record.ok:
                self._begun[job] = self._succeeded[job] = record.at
            else:
                self._failed[job] = record.at

    def _until_done(self, what: str, action: Callable[[], None]) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            try:
                action()
                return
            except RenecError as error:
                _LOG.warning("%s: %s (%s)", what, error.message, "; ".join(error.details))
                self._say(self._doing, error.message)
            except OSError as error:
                _LOG.warning("%s: %s", what, error)
                self._say(self._doing, str(error))
            self._stop.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def _say(self, doing: str, error: str = "") -> None:
        self._doing = doing
        document = {"doing": doing, "error": error, "at": time.time()}
        write_document(Path(self.database.work) / STATE, document, self.database.identity)


def _job_of(kind: str, backup_type: str) -> Job:
    if kind == "backup":
        return Job.FULL if backup_type == "full" else Job.INCREMENTAL
    return Job.VERIFY if kind == "verify" else Job.DRILL


def make_directories(database: ProtectedDatabase) -> None:
    """What the service needs to be there; the platform has made those above.

    Raises:
        OSError: one cannot be made.
    """
    paths = [Path(database.state), Path(database.receiver)]
    paths += [Path(database.work) / name for name in ("spool", "lock", "log", "scratch")]
    paths += [Path(place.location) for place in database.repositories if place.kind == "posix"]
    for path in paths:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
