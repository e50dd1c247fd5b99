"""What a hook is, and what it reports. Data and protocol only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from renecinfra.platforms.local.host import Host
from renecinfra.profiles.model import Profile
from renecinfra.profiles.sizing import Sizing
from renecinfra.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    from renecinfra.platforms.aws.clients import Aws


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what, whether it is right, and what was seen."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HookContext:
    """What a hook of the local platform may use. ``note`` tells people one line of progress."""

    profile: Profile
    host: Host
    sizing: Sizing
    secrets: ResolvedSecrets
    note: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AwsHookContext:
    """What a hook of an environment in AWS may use. ``outputs`` are those of the Terraform stack."""

    profile: Profile
    aws: Aws
    outputs: Mapping[str, Any]
    note: Callable[[str], None]


class Noting(Protocol):
    """What every hook's context has: ``note`` tells people one line of progress."""

    @property
    def note(self) -> Callable[[str], None]:
        """Tell one line."""
        ...


ContextT = TypeVar("ContextT", bound=Noting)
_Context_contra = TypeVar("_Context_contra", bound=Noting, contravariant=True)


class Hook(Protocol[_Context_contra]):
    """A post-provision step. ``run`` is idempotent; ``verify`` looks at the result from outside."""

    name: str
    needs: tuple[str, ...]

    def run(self, context: _Context_contra) -> str:
        """Do it; returns one line for the summary. Raises HookError."""
        ...

    def verify(self, context: _Context_contra) -> list[Check]:
        """Look at what is there now; every check is in the answer, passed or not."""
        ...


@dataclass(frozen=True, slots=True)
class HookReport:
    """How a hook went; ``blocked`` means that one it needs failed."""

    name: str
    result: Literal["ok", "failed", "blocked", "disabled"]
    seconds: float
    attempts: int
    message: str
    checks: tuple[Check, ...] = ()
