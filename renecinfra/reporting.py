"""What the layers below the command line use to tell people things. Imports nothing of ours.

``console.py`` implements it for terminals; results never go through here, only what happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """A running count towards a total, as far as a total is known."""

    def advance(self, amount: int = 1, text: str | None = None) -> None:
        """``amount`` more is done; ``text`` says what is being worked on now."""
        ...


class Reporter(Protocol):
    """Tells people what happens. Texts are single lines without secrets and without markup."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """A named part of the work, from entry to exit; an exception that leaves it means that it failed."""
        ...

    def progress(self, name: str, total: int | None = None) -> AbstractContextManager[Progress]:
        """A part of the work whose advance can be counted; ``total`` is None where it is unknown."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing."""
        ...

    def warn(self, text: str) -> None:
        """Something that may need attention, although the work goes on."""
        ...


class _SilentProgress:
    def advance(self, amount: int = 1, text: str | None = None) -> None:
        """Say nothing."""


class SilentReporter:
    """Says nothing: for machines and tests."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:  # noqa: ARG002 - the protocol's signature
        """Say nothing."""
        yield

    @contextmanager
    def progress(self, name: str, total: int | None = None) -> Iterator[Progress]:  # noqa: ARG002
        """Say nothing."""
        yield _SilentProgress()

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""
