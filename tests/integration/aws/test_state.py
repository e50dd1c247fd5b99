"""The state in its bucket: two processes, a lock left behind, versions, an older state brought back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from renecinfra.errors import TerraformError, ToolError
from renecinfra.provision.aws import bring_up, states
from renecinfra.terraform.diagnostics import StateLockedError
from tests.aws.driver import Recorded
from tests.integration.aws.conftest import NO_HOOKS, Cloud

pytestmark = [pytest.mark.integration, pytest.mark.slow]

QUESTIONS = bring_up.Questions(lambda _looked: None, lambda _made: None)


def apply(cloud: Cloud, *overrides: str) -> None:
    releases = Recorded(cloud.workspace.root / "releases")
    bring_up.up(cloud.session(*NO_HOOKS, *overrides), QUESTIONS, ["up"], releases)


def terraform_of(cloud: Cloud) -> list[int]:
    """The processes of Terraform that work in the environment's directory."""
    root = cloud.workspace.paths(cloud.name).terraform
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(root):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def hold_off(cloud: Cloud) -> None:
    """What others see while a run is at work."""
    other = cloud.session("terraform.lock_timeout=1s")
    with pytest.raises(StateLockedError) as caught:
        other.terraform().plan(cloud.workspace.root / "other.tfplan")
    assert caught.value.exit_code == 11
    report = states.lock_report(cloud.session())
    assert report is not None
    assert report.alive, "its run holds the environment on this machine"
    refused = cloud.run("unlock", cloud.name, "--yes")
    assert refused.returncode == 1, "a lock of a run that may be alive is not removed by --yes"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_locks_versions_and_recovery(cloud: Cloud):
    apply(cloud)
    state = cloud.session().state
    first = state.history()[0]
    assert first.current
    assert first.resources == 215

    # A second process is held off by the state's lock, also from another machine (another workspace).
    cloud.mirror.slow("aws_sns_topic_subscription", 60)
    more = ["--set", "platform.alarm_emails=[a@example.org]"]
    reviewed = cloud.workspace.root / "reviewed.plan"
    planned = cloud.run("plan", cloud.name, "--out", str(reviewed), *more)
    assert planned.returncode == 0, planned.stderr
    busy = subprocess.Popen(
        cloud.command("up", cloud.name, "--plan", str(reviewed), "--yes", *more),
        cwd=cloud.workspace.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    try:
        while (held := state.lock()) is None or held.operation != "OperationTypeApply":
            assert busy.poll() is None, busy.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        hold_off(cloud)
    finally:
        # The machine goes down: everything is killed, and the lock is left behind.
        busy.send_signal(signal.SIGKILL)
        for pid in terraform_of(cloud):
            os.kill(pid, signal.SIGKILL)
        busy.communicate(timeout=30)
    left = state.lock()
    assert left is not None
    explained = cloud.run("unlock", cloud.name, "--check", "--json")
    lock = json.loads(explained.stdout)["lock"]
    assert (lock["id"], lock["may_be_alive"]) == (left.id, False)
    assert lock["operation"] == "OperationTypeApply"
    wrong = states.LockReport(cloud.name, left.__class__("another-id", "", "", None, ""), False, "")
    with pytest.raises(TerraformError):
        states.unlock(cloud.session(), wrong, ["unlock"])
    assert state.lock() is not None, "only the lock that was explained is removed"
    removed = cloud.run("unlock", cloud.name, "--yes")
    assert removed.returncode == 0, removed.stderr
    assert state.lock() is None
    assert cloud.run("unlock", cloud.name).returncode == 0, "nothing to do"

    # An older state is brought back as the newest; the one in between stays in the history.
    apply(cloud, "platform.interface_endpoints=[ecr.api]")
    listed = json.loads(cloud.run("state", "history", cloud.name, "--json").stdout)["versions"]
    assert listed[0]["resources"] < first.resources
    back = cloud.run("state", "recover", cloud.name, "--version", first.id, "--yes", "--json")
    assert back.returncode == 0, back.stderr
    told = json.loads(back.stdout)
    assert 'module.network.aws_vpc_endpoint.interface["sts"]' in told["remembered"]
    now = state.history()
    assert now[0].resources == first.resources
    assert now[0].serial == told["serial"] > listed[0]["serial"]
    assert len(now) == len(listed) + 1
    unknown = cloud.run("state", "recover", cloud.name, "--version", "no-such-version", "--yes")
    assert unknown.returncode == 64
    assert "state-version-unknown" in unknown.stderr


@pytest.mark.timeout(300)
def test_an_older_version_refuses(cloud: Cloud, make_bootstrap, monkeypatch: pytest.MonkeyPatch):
    make_bootstrap(cloud)
    state = cloud.session().state
    state.require_version()
    with monkeypatch.context() as patch:
        patch.setattr("renecinfra.platforms.aws.state.__version__", "9.0.0")
        state.stamp()
    with pytest.raises(ToolError) as caught:
        state.require_version()
    assert caught.value.id == "aws-state-newer"
    # Where it is protected, --yes alone is refused before anything else is looked at.
    profile = cloud.workspace.root / "environments" / "cloud.yaml"
    profile.write_text(f"{profile.read_text()}protection:\n  protected: false\n")
    for command in (("plan",), ("up", "--yes"), ("down", "--yes")):
        done = cloud.run(command[0], cloud.name, *command[1:])
        assert done.returncode == 4, done.stderr
        assert "aws-state-newer" in done.stderr, done.stderr
