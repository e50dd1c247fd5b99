"""The command line of restore: one thing at a time, and what is shown of a plan."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from renecinfra.cli import recovery_views, restore
from renecinfra.errors import UsageError

AT = datetime(2026, 11, 24, 10, 31, tzinfo=UTC)


def test_one_action_or_a_target():
    none = {"--resume": False, "--undo": False}
    assert restore._one_action(none, True) is None
    assert restore._one_action(none | {"--undo": True}, False) == "--undo"
    for actions, targeted in (({"--resume": True, "--undo": True}, False), ({"--undo": True}, True)):
        with pytest.raises(UsageError) as caught:
            restore._one_action(actions, targeted)
        assert caught.value.id == "restore-target"


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"transactions": 0}, "nothing that is known to have been committed"),
        (
            {"transactions": 12, "until": AT, "seconds": 90.0},
            "12 transactions until 2026-11-24 10:31:00 UTC, 90.0 s",
        ),
        ({"transactions": None, "seconds": 7300.0}, "an unknown number of transactions, 2.0 hours of work"),
    ],
)
def test_what_is_lost_is_said(loss, said):
    values = {"transactions": 1, "until": None, "seconds": 0.0} | loss
    assert recovery_views._lost(SimpleNamespace(loss=SimpleNamespace(**values))).startswith(said)


def test_sizes_and_spans_for_people():
    assert recovery_views.size(3 << 30) == "3.0 GiB"
    assert recovery_views.size(1 << 20) == "1.0 MiB"
    assert recovery_views.size(12) == "12 bytes"
    assert recovery_views.duration(3 * 86400) == "3.0 days"
    assert recovery_views.duration(1.25) == "1.2 s"
