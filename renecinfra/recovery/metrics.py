"""The service's metrics in Prometheus' text form. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from renecinfra.recovery.observation import Observation
from renecinfra.recovery.schedule import Job


@dataclass(frozen=True, slots=True)
class Progress:
    """What the service does: whether the first backup is proven, what runs, how jobs went.

    ``succeeded`` and ``failed`` are when each job last ended well or badly.
    """

    ready: bool
    doing: str
    succeeded: Mapping[Job, datetime]
    failed: Mapping[Job, datetime]


Sample = tuple[Mapping[str, str], float | int | None]


def exposition(progress: Progress, seen: Observation | None) -> str:
    """Everything that is known, as metrics; what is not known has no sample."""
    return "".join(_family(*family) for family in (*_of_progress(progress), *(_of(seen) if seen else ())))


def _family(name: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP renec_{name} {text}\n", f"# TYPE renec_{name} gauge\n"]
    for labels, value in samples:
        if value is None:
            continue
        listed = ",".join(f'{key}="{_escaped(word)}"' for key, word in sorted(labels.items()))
        lines.append(
            f"renec_{name}{{{listed}}} {float(value)}\n" if listed else f"renec_{name} {float(value)}\n"
        )
    return "".join(lines) if len(lines) > 2 else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_progress(progress: Progress) -> Iterator[tuple[str, str, list[Sample]]]:
    yield "backup_ready", "Whether the running database has a verified backup", [({}, progress.ready)]
    yield (
        "backup_job_success_timestamp_seconds",
        "When a scheduled job last ended well",
        [({"job_name": str(job)}, at.timestamp()) for job, at in progress.succeeded.items()],
    )
    yield (
        "backup_job_failed",
        "Whether the newest run of a scheduled job failed",
        [
            ({"job_name": str(job)}, _failed(job, progress))
            for job in sorted({*progress.succeeded, *progress.failed})
        ],
    )


def _failed(job: Job, progress: Progress) -> bool:
    bad, good = progress.failed.get(job), progress.succeeded.get(job)
    return bad is not None and (good is None or bad > good)


def _of(seen: Observation) -> Iterator[tuple[str, str, list[Sample]]]:
    yield (
        "recovery_observed_timestamp_seconds",
        "When recovery was last looked at",
        [({}, seen.at.timestamp())],
    )
    yield "recovery_problems", "What could not be asked at the last look", [({}, len(seen.problems))]
    yield from _of_backups(seen)
    yield from _of_archive(seen)
    yield "recovery_rpo_seconds", "Commits that losing the primary would cost now", [({}, seen.rpo)]
    yield (
        "recovery_rpo_archive_seconds",
        "Commits that losing all but the repositories would cost now",
        [({}, seen.rpo_archive)],
    )
    yield "recovery_rto_seconds", "The estimated time of a restore to the present", [({}, seen.rto)]
    yield from _of_window(seen)
    yield from _of_records(seen)


def _of_backups(seen: Observation) -> Iterator[tuple[str, str, list[Sample]]]:
    newest = {}
    for backup in seen.repository.of_current() if seen.repository is not None else ():
        newest[str(backup.repository), backup.type] = backup
    labelled = [({"repository": key[0], "type": key[1]}, backup) for key, backup in newest.items()]
    yield (
        "backup_timestamp_seconds",
        "When the newest backup of a type ended",
        [(labels, backup.stopped.timestamp()) for labels, backup in labelled],
    )
    yield (
        "backup_duration_seconds",
        "How long the newest backup of a type took",
        [(labels, backup.seconds) for labels, backup in labelled],
    )
    yield (
        "backup_size_bytes",
        "The database in the newest backup of a type",
        [(labels, backup.size) for labels, backup in labelled],
    )
    yield (
        "backup_stored_bytes",
        "What the newest backup of a type added to the repository",
        [(labels, backup.stored_delta) for labels, backup in labelled],
    )
    yield (
        "backup_repository_ok",
        "Whether pgBackRest says that a repository is well",
        [
            ({"repository": str(one.number)}, one.code == 0)
            for one in (seen.repository.states if seen.repository is not None else ())
        ],
    )
    yield (
        "backup_repository_free_bytes",
        "Room where a repository is",
        [({"repository": str(number)}, size) for number, size in seen.free.items()],
    )
    yield "backup_wal_since_bytes", "WAL written since the newest backup", [({}, seen.wal_since_backup)]


def _of_archive(seen: Observation) -> Iterator[tuple[str, str, list[Sample]]]:
    primary = seen.primary
    if primary is None:
        return
    archived = primary.archived_at.timestamp() if primary.archived_at else None
    yield "archive_timestamp_seconds", "When the newest segment was archived", [({}, archived)]
    yield "archive_waiting_segments", "Segments that wait for the archive", [({}, primary.ready)]
    streams = primary.receiver_lag is not None
    yield "wal_receiver_streaming", "Whether the WAL receiver streams", [({}, streams)]
    yield "wal_receiver_lag_bytes", "How far the WAL receiver is behind", [({}, primary.receiver_lag)]
    names = [f for f in seen.findings if f.name.startswith("continuity")]
    yield (
        "archive_continuous",
        "Whether a repository has every segment",
        [({"repository": finding.name.rpartition(" ")[2]}, finding.ok) for finding in names],
    )


def _of_window(seen: Observation) -> Iterator[tuple[str, str, list[Sample]]]:
    made = seen.window
    if made is None:
        return
    start = made.start.timestamp() if made.start else None
    end = made.end.timestamp() if made.end else None
    yield "restore_window_start_timestamp_seconds", "The earliest moment that can be restored", [({}, start)]
    yield "restore_window_end_timestamp_seconds", "The newest archived commit", [({}, end)]
    yield "restore_window_gaps", "Stretches of time that cannot be restored", [({}, len(made.gaps))]


def _of_records(seen: Observation) -> Iterator[tuple[str, str, list[Sample]]]:
    if seen.verified is not None:
        yield (
            "backup_verify_timestamp_seconds",
            "When backups were last verified",
            [({}, seen.verified.at.timestamp())],
        )
        yield "backup_verify_ok", "Whether that found everything whole", [({}, seen.verified.ok)]
    if seen.drill is not None:
        yield "drill_ok", "Whether the newest drill went well", [({}, seen.drill.ok)]
    good = seen.good_drill
    if good is not None:
        yield "drill_success_timestamp_seconds", "When a drill last went well", [({}, good.at.timestamp())]
        for name in ("rto", "rpo"):
            measured = good.facts.get(f"{name}_seconds")
            value = float(measured) if isinstance(measured, int | float) else None
            yield (
                f"drill_{name}_seconds",
                f"The {name.upper()} that the last good drill measured",
                [({}, value)],
            )
