"""The shipped environments in AWS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.workspace import Workspace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def profile_of() -> Callable[..., Profile]:
    return lambda name, *overrides: load(Workspace(ROOT), name, overrides, environ={}).profile
