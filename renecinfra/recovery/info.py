"""What pgBackRest's ``info`` says, as plain values. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from renecinfra.errors import RestoreError, ToolError

BackupType = Literal["full", "diff", "incr"]

_UNREADABLE: Final = 99
"""The state of a repository whose list of backups cannot be had, whatever the reason."""
_TYPES: Final[dict[str, BackupType]] = {"full": "full", "diff": "diff", "incr": "incr"}


@dataclass(frozen=True, slots=True)
class ArchiveRange:
    """The WAL that a repository has of one database: from ``first`` to ``last``, not necessarily all of it.

    ``id`` is pgBackRest's (``15-1``: the version and which database of the stanza's history). The names of
    segments are None where there is none. Across timelines they say little: see ``recovery.archive``.
    """

    repository: int
    id: str
    database_id: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup in one repository. Sizes are bytes: ``size`` of the database, ``stored`` in the repository.

    ``delta`` is what this backup alone copied, ``stored_delta`` what that takes. A restore needs the WAL from
    ``wal_first`` to ``wal_last`` to become consistent. ``damaged`` says that the database itself had pages
    with wrong checksums when it was taken.
    """

    label: str
    type: BackupType
    repository: int
    database_id: int
    started: datetime
    stopped: datetime
    size: int
    delta: int
    stored: int
    stored_delta: int
    wal_first: str
    wal_last: str
    lsn_start: str
    lsn_stop: str
    prior: str | None
    references: tuple[str, ...]
    damaged: bool
    annotations: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """How long it took, to pgBackRest's precision of a second."""
        return (self.stopped - self.started).total_seconds()

    @property
    def timeline(self) -> int:
        """The timeline that it was taken on."""
        return int(self.wal_last[:8], 16)


@dataclass(frozen=True, slots=True)
class DatabaseHistory:
    """A database of the stanza: after an environment was made anew there are several."""

    id: int
    repository: int
    system_id: str
    version: str


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """What pgBackRest says of one repository: ``code`` 0 is well."""

    number: int
    code: int
    message: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Repository:
    """All repositories of an environment, as pgBackRest sees them. Backups are in the order they ended."""

    stanza: str
    code: int
    message: str
    backing_up: bool
    states: tuple[RepositoryState, ...]
    histories: tuple[DatabaseHistory, ...]
    archives: tuple[ArchiveRange, ...]
    backups: tuple[Backup, ...]

    @property
    def current(self) -> DatabaseHistory | None:
        """The database that archives now: the newest of the first repository's history."""
        first = min((one.repository for one in self.histories), default=0)
        return self._newest(first)

    def current_of(self, repository: int) -> DatabaseHistory | None:
        """The same database in another repository, which may number it otherwise; None where it has it
        not."""
        current, own = self.current, self._newest(repository)
        return own if own is not None and current is not None and own.system_id == current.system_id else None

    def _newest(self, repository: int) -> DatabaseHistory | None:
        own = [one for one in self.histories if one.repository == repository]
        return max(own, key=lambda one: one.id, default=None)

    def of_current(self, repository: int | None = None) -> tuple[Backup, ...]:
        """Backups of the database that archives now, of one repository or all."""
        return tuple(
            one
            for one in self.backups
            if repository in (None, one.repository)
            and (own := self.current_of(one.repository)) is not None
            and own.id == one.database_id
        )

    def current_archives(self) -> tuple[ArchiveRange, ...]:
        """The archives of the database that archives now, one for each repository that has it."""
        return tuple(
            one
            for one in self.archives
            if (own := self.current_of(one.repository)) is not None and own.id == one.database_id
        )

    def require_readable(self) -> None:
        """Refuse to take repositories of which none can be read for ones without backups.

        Raises:
            RestoreError: none can be read; why, as far as the first one's answer tells.
        """
        bad = [one for one in self.states if one.code == _UNREADABLE]
        if self.backups or not bad or len(bad) < len(self.states):
            return
        key = "unable to load info file" in bad[0].message
        raise RestoreError(
            "backup-key-wrong" if key else "backup-repository-unreachable",
            f"no repository can be read: {bad[0].message}",
            details=tuple(f"repository {one.number}: {one.message}" for one in bad[1:]),
            hint="the pass phrase is not the one that the repository was made with, or an info file and its "
            "copy are damaged; the runbook docs/runbooks/disasters/vault-lost.md says where it is kept"
            if key
            else "check the repository's address, its certificate, its credentials and the network",
        )

    def backup(self, label: str, repository: int | None = None) -> Backup | None:
        """The backup of that label, in the lowest repository that has it unless one is named."""
        found = [one for one in self.backups if one.label == label and repository in (None, one.repository)]
        return min(found, key=lambda one: one.repository, default=None)


def parse_info(text: str, stanza: str) -> Repository:
    """``info --output=json`` as values.

    Raises:
        ToolError: it is not what pgBackRest prints.
    """
    try:
        # Not strict: what it could not decrypt is quoted in messages as it is, control characters and all.
        documents = json.loads(text, strict=False)
        document = next((one for one in documents if one["name"] == stanza), None)
        if document is None:
            return Repository(stanza, 1, "missing stanza path", False, (), (), (), ())
        return _repository(document)
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            "backup-info-unreadable",
            f"what pgBackRest says of its repository cannot be understood ({type(error).__name__}: {error})",
            hint="pgBackRest 2.45 or later is needed; `renecinfra doctor` shows which one there is",
        ) from None


def _first_line(message: str) -> str:
    """The rest quotes what cannot be read."""
    first = next(iter(message.splitlines()), "")
    return "".join(letter if letter.isprintable() else "?" for letter in first).rstrip(":")


def _repository(document: Mapping[str, Any]) -> Repository:
    status = document["status"]
    backups = [_backup(one) for one in document["backup"]]
    return Repository(
        stanza=document["name"],
        code=status["code"],
        message=status["message"],
        backing_up=bool(status.get("lock", {}).get("backup", {}).get("held", False)),
        states=tuple(
            RepositoryState(
                one["key"], one["status"]["code"], _first_line(one["status"]["message"]), one["cipher"]
            )
            for one in document["repo"]
        ),
        histories=tuple(
            DatabaseHistory(one["id"], one["repo-key"], str(one["system-id"]), one["version"])
            for one in document["db"]
        ),
        archives=tuple(
            ArchiveRange(
                one["database"]["repo-key"], one["id"], one["database"]["id"], one["min"], one["max"]
            )
            for one in document["archive"]
        ),
        backups=tuple(sorted(backups, key=lambda one: (one.stopped, one.label, one.repository))),
    )


def _backup(document: Mapping[str, Any]) -> Backup:
    size, stored = document["info"], document["info"]["repository"]
    lsn = document.get("lsn") or {}
    return Backup(
        label=document["label"],
        type=_TYPES[document["type"]],
        repository=document["database"]["repo-key"],
        database_id=document["database"]["id"],
        started=_moment(document["timestamp"]["start"]),
        stopped=_moment(document["timestamp"]["stop"]),
        size=size["size"],
        delta=size["delta"],
        # With block incrementals (2.46 and later) the size of a set is not known without reading it.
        stored=stored.get("size", stored["delta"]),
        stored_delta=stored["delta"],
        wal_first=document["archive"]["start"],
        wal_last=document["archive"]["stop"],
        lsn_start=lsn.get("start", ""),
        lsn_stop=lsn.get("stop", ""),
        prior=document["prior"],
        references=tuple(document["reference"] or ()),
        damaged=bool(document.get("error", False)),
        annotations=dict(document.get("annotation") or {}),
    )


def parse_damaged_files(text: str, label: str) -> tuple[str, ...]:
    """The files with page errors in ``info --set=LABEL --output=json``.

    Raises:
        ToolError: it is not what pgBackRest prints.
    """
    try:
        for document in json.loads(text):
            for one in document["backup"]:
                if one["label"] == label:
                    return tuple(one.get("error-list") or ())
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            "backup-info-unreadable",
            f"what pgBackRest says of backup {label} cannot be understood ({type(error).__name__})",
            hint="pgBackRest 2.45 or later is needed; `renecinfra doctor` shows which one there is",
        ) from None
    return ()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
