"""Command lines, exactly; what pgBackRest answers, as values; what its exit codes mean."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from renecinfra.errors import ExitCode, ToolError
from renecinfra.process import Completed
from renecinfra.recovery import info, protected, repository
from renecinfra.recovery.protected import ProtectedDatabase
from renecinfra.recovery.repository import PgBackRest

BASE = [
    "/opt/bin/pgbackrest",
    "--config=/srv/a b/pgbackrest.conf",
    "--config-include-path=/srv/a b/secrets",
    "--stanza=test",
]


def test_command_lines(database: ProtectedDatabase) -> None:
    assert repository.backup_argv(database, "incr", repository=2, annotations={"reason": "by hand"}) == [
        *BASE,
        "--type=incr",
        "--repo=2",
        "--log-level-console=detail",
        "--archive-timeout=240",
        "--annotation=reason=by hand",
        "backup",
    ]
    assert repository.expire_argv(database, 1, label="L", dry_run=True) == [
        *BASE, "--repo=1", "--log-level-console=info", "--set=L", "--dry-run", "expire",
    ]  # fmt: skip
    assert repository.restore_argv(database, "/new", repository=1, label="L", options=["--type=none"]) == [
        *BASE, "--pg1-path=/new", "--repo=1", "--set=L", "--type=none", "restore",
    ]  # fmt: skip
    assert repository.info_argv(database, "L", 2)[-4:] == ["--output=json", "--repo=2", "--set=L", "info"]


def test_the_archive_command_survives_a_shell(database: ProtectedDatabase) -> None:
    command = repository.archive_push_command(database, "/srv/100% full/cluster")
    assert "%%" in command
    words = shlex.split(command.replace("%p", "pg_wal/X").replace("%%", "%"))
    assert words == [*BASE, "--pg1-path=/srv/100% full/cluster", "archive-push", "pg_wal/X"]


def test_what_recovery_is_told_survives_json(database: ProtectedDatabase, tmp_path: Path) -> None:
    path = tmp_path / "recovery.json"
    path.write_text(database.to_json())
    assert protected.load(path) == database


def backup(label: str, *, repo: int = 1, db: int = 1, **more: object) -> dict[str, object]:
    return {
        "archive": {"start": "000000010000000000000004", "stop": "000000010000000000000005"},
        "backrest": {"format": 5, "version": "2.45"},
        "database": {"id": db, "repo-key": repo},
        "error": False,
        "info": {"delta": 10, "repository": {"delta": 2, "size": 3}, "size": 20},
        "label": label,
        "lsn": {"start": "0/4000028", "stop": "0/511CB70"},
        "prior": None,
        "reference": None,
        "timestamp": {"start": 1000, "stop": 1003},
        "type": "full",
        **more,
    }


def answer(*backups: dict[str, object], histories: list[tuple[int, int, int]]) -> str:
    return json.dumps(
        [
            {
                "name": "test",
                "status": {"code": 0, "message": "ok", "lock": {"backup": {"held": True}}},
                "cipher": "aes-256-cbc",
                "db": [
                    {"id": id_, "repo-key": repo, "system-id": system, "version": "15"}
                    for id_, repo, system in histories
                ],
                "repo": [
                    {"key": key, "cipher": "aes-256-cbc", "status": {"code": 0, "message": "ok"}}
                    for key in sorted({repo for _, repo, _ in histories})
                ],
                "archive": [
                    {"id": f"15-{id_}", "database": {"id": id_, "repo-key": repo}, "min": "A", "max": "B"}
                    for id_, repo, _ in histories
                ],
                "backup": list(backups),
            }
        ]
    )


def test_info_becomes_values() -> None:
    found = info.parse_info(
        answer(backup("20261125-222808F", annotation={"reason": "first"}), histories=[(1, 1, 77)]), "test"
    )
    assert found.backing_up
    [one] = found.backups
    assert (one.label, one.type, one.size, one.stored, one.timeline) == ("20261125-222808F", "full", 20, 3, 1)
    assert one.seconds == 3
    assert one.annotations == {"reason": "first"}
    assert found.current is not None
    assert found.current.system_id == "77"


def test_two_repositories_may_number_the_same_database_differently() -> None:
    found = info.parse_info(
        answer(
            backup("old", repo=1, db=1),
            backup("a", repo=1, db=2),
            backup("b", repo=2, db=1),
            histories=[(1, 1, 66), (2, 1, 77), (1, 2, 77)],
        ),
        "test",
    )
    assert {one.label for one in found.of_current()} == {"a", "b"}
    assert {(one.repository, one.id) for one in found.current_archives()} == {(1, "15-2"), (2, "15-1")}


def test_a_repository_of_another_database_has_nothing_of_this_one() -> None:
    text = answer(backup("a"), backup("b", repo=2), histories=[(1, 1, 77), (1, 2, 66)])
    found = info.parse_info(text, "test")
    assert [one.label for one in found.of_current()] == ["a"]
    assert found.current_of(2) is None


def test_no_stanza_is_an_empty_answer() -> None:
    found = info.parse_info("[]", "test")
    assert found.backups == ()
    assert found.current is None
    assert found.code != 0


@pytest.mark.parametrize("text", ["", "nonsense", '[{"name": "test"}]', '{"a": 1}'])
def test_what_is_no_answer_is_an_error(text: str) -> None:
    with pytest.raises(ToolError) as caught:
        info.parse_info(text, "test")
    assert caught.value.id == "backup-info-unreadable"


@pytest.mark.parametrize(
    ("code", "id_"),
    [
        (26, "backup-corrupt"),
        (45, "backup-archive-duplicate"),
        (50, "backup-running"),
        (82, "archive-stalled"),
        (95, "backup-key-wrong"),
        (103, "backup-repository-unreachable"),
    ],
)
def test_exit_codes_have_names_and_hints(database: ProtectedDatabase, code: int, id_: str) -> None:
    said = "P00  ERROR: [0]: something is wrong\n            HINT: do something"
    error = repository.failure(database, [*BASE, "backup"], Completed(("x",), code, "", said))
    assert error.id == id_
    assert error.hint
    assert "{env}" not in error.hint
    assert error.exit_code == ExitCode.RESTORE
    assert "something is wrong" in error.message


def test_a_clock_that_went_back_is_no_wrong_key(database: ProtectedDatabase) -> None:
    said = (
        "ERROR: [029]: new backup label '20261125-100000F' is not later than latest backup label "
        "'20261125-110000F'\nHINT: has the timezone changed?\nHINT: is there clock skew?"
    )
    error = repository.failure(database, [*BASE, "backup"], Completed(("x",), 29, "", said))
    assert error.id == "backup-clock-wrong"


def test_nothing_of_the_callers_environment_reaches_it(
    database: ProtectedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    tool = tmp_path / "pgbackrest"
    tool.write_text("#!/bin/sh\nenv\n")
    tool.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("PGBACKREST_REPO1_PATH", "/elsewhere")
    fake = PgBackRest(replace(database, programs={"pgbackrest": str(tool)}))
    printed = fake.run([str(tool)], timeout=10).stdout
    assert "PGBACKREST" not in printed
    assert "TZ=UTC" in printed
