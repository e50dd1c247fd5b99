"""Backups of a whole environment: proven before `up` reports success, kept by `down`, taken unattended."""

from __future__ import annotations

import json
import time

import pytest
import urllib3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def listing(cli) -> dict:
    done = cli.run("backup", cli.environment, "list", "--json")
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def prometheus(cli, query: str) -> list[dict]:
    url = f"http://127.0.0.1:{cli.port_base + 50}/api/v1/query?query={query}"
    return json.loads(urllib3.request("GET", url, timeout=5).data)["data"]["result"]


def wait_for(look, seconds: float):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)
    return found


def test_what_is_up_has_a_backup_that_was_found_whole(environment) -> None:
    found = listing(environment)
    current = [one for one in found["backups"] if one["current"]]
    assert current
    assert current[0]["type"] == "full"
    assert all(one["whole"] and one["usable"] and not one["damaged"] for one in current)
    assert found["window"]["gaps"] == []
    assert {one["what"]: one["covered"] for one in found["coverage"]}["Redis cache"] is False


def test_a_backup_is_taken_verified_and_shown(environment) -> None:
    name = environment.environment
    made = json.loads(environment.ok("backup", name, "create", "--reason", "a test", "--json"))
    label = made["backups"][0]["label"]
    assert made["broker"]
    point = json.loads(environment.ok("backup", name, "point", "before-the-test", "--json"))
    verified = json.loads(environment.ok("backup", name, "verify", "--json"))
    assert label in verified["backups"]
    found = listing(environment)
    [one] = [one for one in found["backups"] if one["label"] == label]
    assert (one["reason"], one["whole"], one["type"]) == ("a test", True, "incr")
    assert point["name"] in [one["name"] for one in found["restore_points"]]
    shown = environment.run("backup", name, "list").stdout
    assert label in shown
    assert "can be restored" in shown


def test_what_must_not_go_does_not_go(environment) -> None:
    name = environment.environment
    full = next(one for one in listing(environment)["backups"] if one["type"] == "full" and one["current"])
    refused = environment.run("backup", name, "expire", "--backup", full["label"], "--yes")
    assert refused.returncode == 9
    assert "backup-last" in refused.stderr
    unknown = environment.run("backup", name, "expire", "--backup", "20200101-000000F", "--yes")
    assert unknown.returncode == 64
    assert full["label"] in [one["label"] for one in listing(environment)["backups"]]


def test_the_brokers_queues_come_back(environment) -> None:
    name = environment.environment
    copies = json.loads(environment.ok("backup", name, "broker", "--json"))["copies"]
    done = json.loads(
        environment.ok("backup", name, "broker", "--restore", copies[-1]["name"], "--yes", "--json")
    )
    assert done["restored"] == copies[-1]["name"]
    assert environment.service("redis-broker")["ok"]


def test_status_says_what_a_disaster_would_cost(environment) -> None:
    seen = wait_for(lambda: environment.status()["recovery"], 60)
    assert seen["rpo_seconds"] is not None
    assert seen["window"]["start"]
    assert seen["rto_seconds"] > 0
    assert wait_for(lambda: prometheus(environment, "renec_backup_ready"), 20)[0]["value"][1] == "1"


def test_backups_outlive_the_environment(fresh) -> None:
    name = fresh.environment
    fresh.ok("up", name, "--yes")
    first = next(one["label"] for one in listing(fresh)["backups"] if one["current"])
    key = (fresh.state / "backup.key").read_text()
    said = fresh.ok("down", name, "--yes")
    assert "backups" in said
    place = fresh.home.with_name(f"{fresh.home.name}.backups")
    if not place.exists():
        place = fresh.state / "backups"
    assert (place / "repository").is_dir()
    fresh.ok("up", name, "--yes")
    assert (fresh.state / "backup.key").read_text() == key
    found = {one["label"]: one["current"] for one in listing(fresh)["backups"]}
    assert found.pop(first) is False
    assert list(found.values()) == [True]
    # What was made with another pass phrase would be lost: nothing is touched.
    (fresh.state / "backup.key").write_text("another\n")
    refused = fresh.run("up", name, "--yes")
    assert refused.returncode == 5
    assert "backup-key-changed" in refused.stderr
    fresh.ok("down", name, "--yes", "--delete-backups")
    assert not place.exists()
    assert not (fresh.state / "backup.key").exists()


@pytest.mark.slow
def test_backups_and_drills_are_made_unattended(tmp_path, new_workspace) -> None:
    cli = new_workspace(tmp_path, "tended")
    profile = cli.workspace / "environments" / "tended.yaml"
    profile.write_text(
        profile.read_text()
        + "backups: {incremental: '* * * * *', verify: '* * * * *', drill: '* * * * *', drill_max_age: 5s}\n"
    )
    try:
        cli.ok("up", "tended", "--yes")
        types = wait_for(
            lambda: {"full", "incr"} <= {one["type"] for one in listing(cli)["backups"]} and "both", 120
        )
        assert types == "both"
        drill = wait_for(lambda: listing(cli)["drill"], 180)
        assert drill["ok"], drill
        assert drill["rto_seconds"] > 0
        assert wait_for(lambda: prometheus(cli, "renec_drill_success_timestamp_seconds"), 60)
        alerts = "ALERTS{alertname=%22DrillStale%22}"
        assert wait_for(lambda: prometheus(cli, alerts), 90)
    finally:
        cli.ok("down", "tended", "--yes", "--delete-backups")
