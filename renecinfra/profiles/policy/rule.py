"""What a rule is, and what the themes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from renecinfra.profiles.model import Profile


@dataclass(frozen=True, slots=True)
class Violation:
    """What breaks a rule: its id, the path to blame, a sentence that names the path, and what to do."""

    id: str
    path: tuple[str, ...]
    message: str
    hint: str


Rule = Callable[[Profile], Iterator[Violation]]


def is_loopback(url: str) -> bool:
    """Whether a URL or host name points to the machine itself."""
    host = urlsplit(url).hostname if "://" in url else url
    return host is not None and (
        host == "localhost" or host.endswith(".localhost") or host.startswith("127.")
    )


def is_cluster(profile: Profile) -> bool:
    """Whether the workloads run as containers on a cluster."""
    return profile.platform.kind != "local"
