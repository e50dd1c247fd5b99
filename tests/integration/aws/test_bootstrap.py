"""`bootstrap` against moto: what it makes, that it is repeatable, and what it says where AWS refuses."""

from __future__ import annotations

import json

import pytest

from renecinfra.errors import ToolError
from renecinfra.platforms.aws import bootstrap, preflight
from renecinfra.platforms.aws.state import StateStore
from renecinfra.platforms.aws.status import read_status
from tests.integration.aws.conftest import Cloud

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# moto keeps no criteria of a replication's source, so that this step is done each time.
NOT_KEPT = "copied to"


def test_it_says_first_and_makes_then_and_is_done(cloud: Cloud):
    first = cloud.run("bootstrap", cloud.name, "--check", "--json")
    assert first.returncode == 1, first.stderr
    steps = json.loads(first.stdout)["steps"]
    assert len(steps) == 16
    assert not any(step["done"] for step in steps)
    assert cloud.client("s3").list_buckets()["Buckets"] == [], "nothing is made by a check"
    declined = cloud.run("bootstrap", cloud.name)
    assert declined.returncode == 1, "without a terminal and without --yes, nothing is made"
    assert cloud.client("s3").list_buckets()["Buckets"] == []

    made = cloud.run("bootstrap", cloud.name, "--yes", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["made"] == 16
    again = json.loads(cloud.run("bootstrap", cloud.name, "--check", "--json").stdout)["steps"]
    assert [step["what"] for step in again if not step["done"] and NOT_KEPT not in step["what"]] == []


def test_the_bucket_is_what_a_state_needs(cloud: Cloud, make_bootstrap):
    make_bootstrap(cloud)
    profile, s3 = cloud.profile(), cloud.client("s3")
    bucket = profile.terraform.backend.bucket
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    key = cloud.client("kms").describe_key(KeyId=profile.terraform.backend.kms_key)["KeyMetadata"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key["Arn"]
    assert cloud.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert {s["Effect"] for s in policy["Statement"]} == {"Deny"}
    rules = {r["ID"]: r for r in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["locks"]["Filter"]["Prefix"] == "renec/cloud.tfstate.tflock"
    replication = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"][0]
    assert replication["Destination"]["Bucket"].endswith(f"{bucket}-copy")
    assert replication["DeleteMarkerReplication"]["Status"] == "Disabled"
    copy = cloud.client("s3", "us-west-2")
    assert copy.get_bucket_location(Bucket=f"{bucket}-copy")["LocationConstraint"] == "us-west-2"


def test_another_account_is_refused(cloud: Cloud):
    profile = cloud.profile('platform.account="210987654321"')
    from renecinfra.platforms.aws.clients import Aws

    with pytest.raises(ToolError) as caught:
        bootstrap.steps(profile, Aws(profile.platform))
    assert caught.value.id == "aws-wrong-account"
    assert "123456789012" in caught.value.message
    assert cloud.client("s3").list_buckets()["Buckets"] == []


def test_a_bucket_of_another_region_is_refused(cloud: Cloud):
    bucket = cloud.profile().terraform.backend.bucket
    cloud.client("s3", "eu-west-1").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(ToolError) as caught:
        bootstrap.steps(cloud.profile(), cloud.aws())
    assert caught.value.id == "aws-wrong-region"
    assert "eu-west-1" in caught.value.message


FAULTS = {
    "ExpiredToken": {"aws-credentials-expired"},
    "AccessDenied": {"aws-access-denied", "aws-bucket-taken"},
    "Throttling": {"aws-throttled"},
}


class Failing:
    """Has the n-th call of AWS fail, as AWS would have it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, code: str) -> None:
        from botocore.client import BaseClient
        from botocore.exceptions import ClientError

        self.calls: list[str] = []
        real = BaseClient._make_api_call

        def call(client, operation, arguments):
            self.calls.append(operation)
            if len(self.calls) == nth:
                raise ClientError({"Error": {"Code": code, "Message": "as the test wants it"}}, operation)
            return real(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)


def make_all(cloud: Cloud) -> None:
    for step in bootstrap.steps(cloud.profile(), cloud.aws()):
        if not step.done:
            step.make()


def test_every_call_of_bootstrap_fails_with_one_clear_error_and_is_made_good(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
):
    """The n-th run is refused at its n-th call, by one of three refusals in turn; the next one goes on."""
    codes, seen, nth = list(FAULTS), set(), 0
    while True:
        nth += 1
        code = codes[nth % len(codes)]
        with monkeypatch.context() as patch:
            failing = Failing(patch, nth, code)
            try:
                make_all(cloud)
            except ToolError as error:
                assert error.id in FAULTS[code], (failing.calls[-1], error.id)
                assert error.hint
                seen.add(failing.calls[-1])
                continue
        if len(failing.calls) < nth:
            break
    assert {"CreateBucket", "PutBucketPolicy", "CreateKey", "HeadBucket", "GetCallerIdentity"} <= seen
    make_all(cloud)
    undone = [step.what for step in bootstrap.steps(cloud.profile(), cloud.aws()) if not step.done]
    assert all(NOT_KEPT in what for what in undone)


@pytest.mark.parametrize("what", ["preflight", "lock", "history", "version"])
@pytest.mark.parametrize("code", list(FAULTS))
def test_every_call_that_looks_fails_with_one_clear_error(
    cloud: Cloud, make_bootstrap, monkeypatch: pytest.MonkeyPatch, what: str, code: str
):
    make_bootstrap(cloud)
    profile = cloud.profile()
    work = {
        "preflight": lambda: preflight.preflight(profile, cloud.aws(), applying=True),
        "lock": lambda: StateStore(profile, cloud.aws()).lock(),
        "history": lambda: StateStore(profile, cloud.aws()).history(),
        "version": lambda: StateStore(profile, cloud.aws()).require_version(),
    }[what]
    refused = 0
    for nth in range(1, 30):
        with monkeypatch.context() as patch:
            failing = Failing(patch, nth, code)
            try:
                work()
            except ToolError as error:
                assert error.id in FAULTS[code], failing.calls[-1]
                refused += 1
                continue
        # Quotas are no secret of AWS's that anything depends on: where they cannot be read, it says so.
        if len(failing.calls) < nth:
            break
    assert refused >= 1


def test_status_says_what_could_not_be_looked_at(
    cloud: Cloud, make_bootstrap, monkeypatch: pytest.MonkeyPatch
):
    make_bootstrap(cloud)
    Failing(monkeypatch, 2, "AccessDenied")
    seen = read_status(cloud.profile(), cloud.aws())
    assert not seen.ok
    assert len(seen.problems) == 1


def test_credentials_that_are_missing_or_end_too_soon(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    from datetime import UTC, datetime, timedelta

    soon = datetime.now(UTC) + timedelta(minutes=10)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", soon.isoformat())
    found = {f.name: f for f in preflight.preflight(cloud.profile(), cloud.aws(), applying=True)}
    assert found["credentials"].result == "failed"
    found = {f.name: f for f in preflight.preflight(cloud.profile(), cloud.aws(), applying=False)}
    assert found["credentials"].result == "ok", "a plan is done by then"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ToolError) as caught:
        cloud.aws().caller()
    assert caught.value.id == "aws-credentials-missing"


def test_preflight_sees_what_would_go_wrong_later(cloud: Cloud):
    ec2 = cloud.client("ec2")
    ec2.create_vpc(CidrBlock="10.40.128.0/17")
    for _ in range(4):
        ec2.create_vpc(CidrBlock="192.168.0.0/24")
    found = {f.name: f for f in preflight.preflight(cloud.profile(), cloud.aws(), applying=True)}
    assert found["network"].result == "warn"
    assert found["quota: VPCs of the region"].result == "failed", "5 is the limit, and 6 are there"
    assert found["hosted zone"].result == "ok"
    other = cloud.profile("edge.host=renec.example.com", "workloads.ui.public_url=https://renec.example.com")
    found = {f.name: f for f in preflight.preflight(other, cloud.aws(), applying=True)}
    assert found["hosted zone"].result == "failed"
    far = cloud.profile("platform.zone_names=[us-east-1a, us-east-1b, us-east-1z]")
    from renecinfra.platforms.aws.clients import Aws

    found = {f.name: f for f in preflight.preflight(far, Aws(far.platform), applying=True)}
    assert found["zones"].result == "failed"
    with pytest.raises(ToolError) as caught:
        preflight.require(list(found.values()))
    assert caught.value.id == "aws-preflight"
