"""`up`, `plan`, `status` and `down`: real Terraform over the provider's schema, moto for the rest of AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from renecinfra.errors import TerraformError
from renecinfra.platforms.aws import transient
from renecinfra.provision.aws import bring_up
from renecinfra.reporting import SilentReporter
from tests.aws.driver import Recorded
from tests.integration.aws.conftest import ACCOUNT, ENVIRONMENT, NO_HOOKS, PASSWORD, Cloud

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DRIVER = Path(__file__).parents[2] / "aws" / "driver.py"
STEPS = ("bootstrap", "secrets", "plan", "prepare", "apply", "outputs", "releases", "hooks")
# Its topic's ARN is the stub provider's, which moto knows nothing of; the hook has tests of its own.
SETTINGS = ("hooks.monitoring.enabled=false",)


def driver(cloud: Cloud, command: str, log: Path) -> list[str]:
    return [sys.executable, str(DRIVER), command, cloud.name, str(log), *SETTINGS]


def run_driver(cloud: Cloud, command: str, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        driver(cloud, command, log),
        cwd=cloud.workspace.root,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def furnish(cloud: Cloud) -> None:
    """What Terraform would have made, as far as hooks look at it: the stub has it in its state alone."""
    rds = cloud.client("rds")
    settings = {"Engine": "postgres", "DBInstanceClass": "db.m7g.large", "AllocatedStorage": 100}
    rds.create_db_instance(
        DBInstanceIdentifier="renec-cloud",
        MasterUsername="renec_admin",
        ManageMasterUserPassword=True,
        MultiAZ=True,
        StorageEncrypted=True,
        DeletionProtection=True,
        BackupRetentionPeriod=35,
        PubliclyAccessible=False,
        **settings,
    )
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier="renec-cloud-replica-1",
        SourceDBInstanceIdentifier="renec-cloud",
        DeletionProtection=True,
        PubliclyAccessible=False,
    )
    for region in ("us-east-1", "us-west-2"):
        cloud.client("backup", region).create_backup_vault(BackupVaultName="renec-cloud")
    buckets(cloud)


def buckets(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    for kind in ("assets", "logs", "backups"):
        s3.create_bucket(Bucket=f"renec-cloud-{kind}-{ACCOUNT}")
        s3.put_bucket_versioning(
            Bucket=f"renec-cloud-{kind}-{ACCOUNT}", VersioningConfiguration={"Status": "Enabled"}
        )
    west = cloud.client("s3", "us-west-2")
    copy = f"renec-cloud-backups-copy-{ACCOUNT}"
    west.create_bucket(Bucket=copy, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    west.put_bucket_versioning(Bucket=copy, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "all",
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {},
        "DeleteMarkerReplication": {"Status": "Disabled"},
    }
    s3.put_bucket_replication(
        Bucket=f"renec-cloud-backups-{ACCOUNT}",
        ReplicationConfiguration={
            "Role": f"arn:aws:iam::{ACCOUNT}:role/x",
            "Rules": [{**rule, "Destination": {"Bucket": f"arn:aws:s3:::{copy}"}}],
        },
    )


def journal(cloud: Cloud) -> list[dict[str, object]]:
    path = cloud.workspace.paths(cloud.name).journal
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def kill_at(cloud: Cloud, step: str, command: list[str]) -> None:
    """Start an `up`, and kill it as soon as its journal says that it is at the step."""
    before = len(journal(cloud))
    process = subprocess.Popen(
        command,
        cwd=cloud.workspace.root,
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 90
    try:
        while not any(e.get("name") == step and e.get("state") == "started" for e in journal(cloud)[before:]):
            assert process.poll() is None, f"{step} was never reached: {process.communicate()[1]}"
            assert time.monotonic() < deadline, f"{step} was not reached in time"
            time.sleep(0.005)
        if step == "apply":
            time.sleep(1.0)  # in the midst of it
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_up_plan_status_and_down(cloud, tmp_path):
    log = tmp_path / "releases"
    furnish(cloud)
    pending = cloud.run("plan", cloud.name)
    assert pending.returncode == 4
    assert "aws-not-bootstrapped" in pending.stderr
    first = run_driver(cloud, "up", log)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["bootstrapped"] == 16
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert entries[-1]["mode"] == 0o600
    assert not Path(entries[-1]["kubeconfig"]).exists()

    # What was applied is what there is; a change of the profile is one change of the plan.
    same = cloud.run("plan", cloud.name, "--detailed-exitcode", "--json")
    assert same.returncode == 0, same.stderr
    changed = cloud.run(
        "plan", cloud.name, "--detailed-exitcode", "--json", "--set", "database.work_mem=32Mi"
    )
    assert changed.returncode == 2
    assert [c["address"] for c in json.loads(changed.stdout)["terraform"]] == [
        "module.database.aws_db_parameter_group.this"
    ]

    # No secret is in the state, in a file of the workspace, or in what was printed.
    state = cloud.client("s3").list_objects_v2(Bucket=cloud.profile().terraform.backend.bucket)["Contents"]
    texts = [
        cloud.client("s3")
        .get_object(Bucket=cloud.profile().terraform.backend.bucket, Key=one["Key"])["Body"]
        .read()
        for one in state
    ]
    files = [
        p for p in (cloud.workspace.root / ".renecinfra").rglob("*") if p.is_file() and p.stat().st_size < 1e7
    ]
    texts += [path.read_bytes() for path in files]
    texts += [done.stdout.encode() + done.stderr.encode() for done in (first, same, changed)]
    for canary in (PASSWORD, ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], os.environ["VAULT_TOKEN"]):
        assert not [text[:80] for text in texts if canary.encode() in text]

    status = cloud.run("status", cloud.name, "--json")
    parts = {part["name"]: part["state"] for part in json.loads(status.stdout)["parts"]}
    assert parts["database renec-cloud"] == "available"
    assert parts["cluster renec-cloud"] == "absent", "the stub's cluster is in the state alone"
    assert parts["state"] == "free"

    s3 = cloud.client("s3")
    s3.put_object(Bucket=f"renec-cloud-assets-{ACCOUNT}", Key="a.js", Body=b"1")
    s3.put_object(Bucket=f"renec-cloud-backups-{ACCOUNT}", Key="dump", Body=b"1")
    down = run_driver(cloud, "down", log)
    assert down.returncode == 0, down.stderr
    result = json.loads(down.stdout)
    assert 'module.keys.aws_kms_key.this["data"]' in result["kept"]
    assert "module.storage.module.backups.aws_s3_bucket.this" in result["kept"]
    assert "module.database.aws_db_instance.primary" in result["destroyed"]
    assert result["objects_deleted"] == {f"renec-cloud-assets-{ACCOUNT}": 1, f"renec-cloud-logs-{ACCOUNT}": 0}
    assert s3.get_object(Bucket=f"renec-cloud-backups-{ACCOUNT}", Key="dump")
    assert [json.loads(line)["what"] for line in log.read_text().splitlines()] == ["apply", "remove"]
    updates = [line for line in cloud.mirror.applied() if line.startswith("update")]
    assert "update aws_db_instance" in updates, "protection was taken away before the end"
    assert "update aws_lb" in updates

    # A second `down` has nothing to do, and an `up` finds what was kept.
    again = run_driver(cloud, "down", log)
    assert json.loads(again.stdout)["destroyed"] == []
    back = run_driver(cloud, "up", log)
    assert back.returncode == 0, back.stderr
    made = Counter(cloud.mirror.applied())
    assert made["create aws_db_instance"] == 4
    assert made["create aws_backup_vault"] == 2, "kept ones were found again"

    # Another machine sees who did what: the runs are kept beside the state.
    cloud.workspace.paths(cloud.name).journal.unlink()
    seen = cloud.run("history", cloud.name, "--json")
    runs = json.loads(seen.stdout)["runs"]
    assert [(run["command"], run["result"]) for run in runs] == [
        ("up", "ok"),
        ("down", "ok"),
        ("down", "ok"),
        ("up", "ok"),
    ]


@pytest.mark.timeout(300)
def test_a_failure_that_goes_away_is_tried_again_and_another_is_not(cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(transient, "PAUSES", (0.1, 0.1))
    told: list[str] = []

    class Reporter(SilentReporter):
        def warn(self, text: str) -> None:
            told.append(text)

    questions = bring_up.Questions(lambda _looked: None, lambda _made: None)
    cloud.mirror.fail("aws_vpc", "creating VPC: RequestLimitExceeded: Request limit exceeded.")
    releases = Recorded(tmp_path / "releases")
    bring_up.up(cloud.session(*NO_HOOKS, reporter=Reporter()), questions, ["up"], releases)
    assert any("AWS was asked too often; trying again" in line for line in told)

    cloud.mirror.fail("aws_sns_topic_subscription", "creating Subscription: InvalidParameter: no address")
    session = cloud.session(*NO_HOOKS, "platform.alarm_emails=[new@example.org]", reporter=Reporter())
    told.clear()
    with pytest.raises(TerraformError, match="InvalidParameter"):
        bring_up.up(session, questions, ["up"], releases)
    assert not any("trying again" in line for line in told)
