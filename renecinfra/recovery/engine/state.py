"""A restore that is under way, or that can still be undone: what a later run needs to go on, or back. One
file.

It holds no secret, and nothing that can be seen by looking: whether the databases have changed places, for
one, is asked of the data directories themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from renecinfra.errors import RestoreError
from renecinfra.recovery.engine.recipe import End, Recipe
from renecinfra.recovery.engine.wal import Lsn
from renecinfra.recovery.plan import Expectation, RestorePlan


class Step(StrEnum):
    """The steps of a restore, in their order. Up to ``READY`` the running database is not touched."""

    FETCH = "fetch"
    REPLAY = "replay"
    CHECK = "check"
    READY = "ready"
    CUTOVER = "cutover"
    REBUILD = "rebuild"
    PROTECT = "protect"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class RestoreState:
    """One restore or failover, as ``kind`` says. ``place`` is the directory that it is made in; ``kept``
    whether it still has the old database.

    ``done`` are the finished steps with the seconds that each took. ``source`` names the environment whose
    backups are restored, where it is another one; ``undoing`` says that an undo was begun.
    """

    id: str
    environment: str
    target: str
    said: tuple[str, ...]
    place: str
    recipe: Recipe
    expectation: Expectation
    bytes: int
    wal: int
    loss: Mapping[str, Any]
    started: datetime
    done: Mapping[str, float] = field(default_factory=dict)
    end: End | None = None
    kept: bool = False
    silence: str | None = None
    undoing: bool = False
    kind: Literal["restore", "failover"] = "restore"
    source: str | None = None

    def is_done(self, step: Step) -> bool:
        """Whether a step is finished."""
        return step in self.done

    def with_done(self, step: Step, seconds: float) -> RestoreState:
        """The state after a step."""
        return replace(self, done={**self.done, step.value: round(seconds, 3)})

    @property
    def adopted(self) -> bool:
        """Whether the restored database may have taken the place of the running one."""
        return self.is_done(Step.CUTOVER)

    def document(self) -> dict[str, Any]:
        """For the file and for machines."""
        end = self.end
        return {
            "id": self.id,
            "environment": self.environment,
            "target": self.target,
            "said": list(self.said),
            "place": self.place,
            "recipe": asdict(self.recipe) | {"target": dict(self.recipe.target)},
            "expectation": self.expectation.document(),
            "bytes": self.bytes,
            "wal": self.wal,
            "loss": dict(self.loss),
            "started": self.started.isoformat(),
            "done": dict(self.done),
            "end": None
            if end is None
            else {
                "timeline": end.timeline,
                "fork": str(end.fork),
                "last_commit": end.last_commit.isoformat() if end.last_commit else None,
            },
            "kept": self.kept,
            "silence": self.silence,
            "undoing": self.undoing,
            "kind": self.kind,
            "source": self.source,
        }

    @classmethod
    def from_document(cls, data: Mapping[str, Any]) -> RestoreState:
        """From :meth:`document`; raises KeyError, ValueError or TypeError where it is something else."""
        end, recipe = data["end"], data["recipe"]
        return cls(
            id=data["id"],
            environment=data["environment"],
            target=data["target"],
            said=tuple(data["said"]),
            place=data["place"],
            recipe=Recipe(**{**recipe, "sources": tuple(recipe["sources"])}),
            expectation=Expectation.from_document(data["expectation"]),
            bytes=int(data["bytes"]),
            wal=int(data["wal"]),
            loss=data["loss"],
            started=datetime.fromisoformat(data["started"]),
            done={str(name): float(seconds) for name, seconds in data["done"].items()},
            end=None
            if end is None
            else End(
                int(end["timeline"]),
                Lsn.parse(end["fork"]),
                datetime.fromisoformat(end["last_commit"]) if end["last_commit"] else None,
            ),
            kept=bool(data["kept"]),
            silence=data["silence"],
            undoing=bool(data["undoing"]),
            kind=data["kind"],
            source=data.get("source"),
        )


def begin(plan: RestorePlan, place: Path, id_: str, said: tuple[str, ...]) -> RestoreState:
    """The state of a restore that is about to begin."""
    return RestoreState(
        id=id_,
        environment=plan.environment,
        target=plan.target,
        said=said,
        place=str(place),
        recipe=plan.recipe,
        expectation=plan.expectation,
        bytes=plan.backup.size,
        wal=plan.wal,
        loss=plan.document()["lost"],
        started=datetime.now(UTC),
    )


def begin_failover(environment: str, place: Path, id_: str, said: tuple[str, ...], size: int) -> RestoreState:
    """The state of a failover: nothing is restored, so that it begins with the cutover."""
    skipped = (Step.FETCH, Step.REPLAY, Step.CHECK, Step.READY)
    return RestoreState(
        id=id_,
        environment=environment,
        target="the replica",
        said=said,
        place=str(place),
        recipe=Recipe("", 0, 0, {}, None, ()),
        expectation=Expectation(None, None, False, "0/0"),
        bytes=size,
        wal=0,
        loss={},
        started=datetime.now(UTC),
        done={step.value: 0.0 for step in skipped},
        kind="failover",
    )


class StateFile:
    """The file of one environment's restore; belongs to whoever runs the commands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> RestoreState | None:
        """The restore that is under way or can be undone; None where there is none.

        Raises:
            RestoreError: the file cannot be understood.
        """
        try:
            return RestoreState.from_document(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise RestoreError(
                "restore-state-unreadable",
                f"{self._path} does not say how far a restore came ({type(error).__name__})",
                hint="another version of renecinfra may have written it: go on with that one",
            ) from None

    def write(self, state: RestoreState) -> None:
        """Replace it, and wait until it is on disk."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(state.document(), stream, indent=1)
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(self._path)

    def remove(self) -> None:
        """Forget it."""
        self._path.unlink(missing_ok=True)
