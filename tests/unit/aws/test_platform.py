"""The pure parts of the AWS platform: values, machines, locks, tokens, transient failures."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from renecinfra.errors import TerraformError, ToolError
from renecinfra.platforms.aws import faults, kubeconfig, policies, state, transient, variables
from renecinfra.platforms.aws.clients import Aws
from renecinfra.profiles.instances import GIB, cache_memory, machine

ROOT = Path(__file__).parents[3]


def test_every_number_is_the_profiles(profile_of):
    found = variables.variables(profile_of("prod"), 7)
    assert found["network"]["zones"] == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert found["network"]["nat_gateways"] == 3
    assert found["database"]["shared_buffers_kib"] == 2 * 1024 * 1024
    assert (found["database"]["storage_gib"], found["database"]["storage_max_gib"]) == (100, 500)
    assert found["cache"]["password_version"] == 7
    assert found["cache"]["groups"]["broker"]["snapshot_days"] == 35
    assert found["cache"]["groups"]["cache"]["snapshot_days"] == 0
    assert found["operations"]["backup_window"] == "01:30-02:00"
    assert found["operations"]["snapshot_window"] == "01:30-02:30"
    assert found["operations"]["backup_schedule"] == "cron(30 4 * * ? *)", "not while RDS takes its own"
    assert found["edge"]["timeout_seconds"] == 35, "longer than the edge's own, which is the one that counts"
    assert found["operations"]["protected"] is True
    assert found["github"]["state_key_alias"] == "alias/renec-prod-terraform"


def test_staging_is_smaller_by_its_profile_alone(profile_of):
    prod, staging = (variables.variables(profile_of(name), 1) for name in ("prod", "staging"))
    assert prod.keys() == staging.keys()
    assert staging["network"]["nat_gateways"] == 1
    assert staging["database"]["multi_az"] is False
    assert staging["operations"]["protected"] is False
    assert staging["operations"]["retention_days"] == 7


def test_windows_go_over_midnight(profile_of):
    found = variables.variables(profile_of("prod", 'backups.schedule="45 23 * * *"'), 1)
    assert found["operations"]["backup_window"] == "23:45-00:15"
    assert found["operations"]["backup_schedule"] == "cron(45 2 * * ? *)"


def test_the_environments_own_tag_wins(profile_of):
    found = variables.tags(profile_of("prod", "platform.tags.Environment=other"))
    assert found["Environment"] == "prod", "the budget counts by it"


@pytest.mark.parametrize(
    ("name", "cpus", "gib"),
    [
        ("m7i.large", 2, 8),
        ("db.m7g.large", 2, 8),
        ("db.r7g.2xlarge", 8, 64),
        ("c7gn.xlarge", 4, 8),
        ("db.t4g.medium", 2, 4),
        ("t3.micro", 2, 1),
    ],
)
def test_machines_are_read_from_their_names(name, cpus, gib):
    found = machine(name)
    assert (found.cpus, found.memory) == (cpus, gib * GIB)


@pytest.mark.parametrize("name", ["", "x", "p5.48xlarge.weird", "mac2.metal", "m7i.metal", "m7i.small"])
def test_what_is_not_understood_is_not_guessed(name):
    assert machine(name) is None
    assert cache_memory(name) is None


def test_a_cache_node_has_what_aws_says_within_a_hundredth():
    # AWS's table: cache.m7g.large 6.38 GiB, cache.t4g.small 1.37 GiB.
    assert cache_memory("cache.m7g.large") == pytest.approx(6.38 * GIB, rel=0.01)
    assert cache_memory("cache.t4g.small") == pytest.approx(1.37 * GIB, rel=0.01)


def lock(who: str, age: timedelta) -> state.StateLock:
    return state.StateLock("id", "OperationTypeApply", who, datetime.now(UTC) - age, "1.11.4")


@pytest.mark.parametrize(
    ("who", "age", "held", "alive"),
    [
        ("ana@here", timedelta(minutes=5), True, True),
        ("ana@here", timedelta(minutes=5), False, False),
        ("ci@runner", timedelta(minutes=5), False, True),
        ("ci@runner", timedelta(hours=7), False, False),
        ("ana@here", timedelta(hours=7), True, True),
    ],
)
def test_whether_a_locks_run_can_be_alive(who, age, held, alive):
    found, why = lock(who, age).life(held_here=held, host="here")
    assert found is alive
    assert why


def test_an_older_state_becomes_the_next_one():
    older, current = {"lineage": "a", "serial": 3, "resources": []}, {"lineage": "a", "serial": 9}
    assert state.successor(older, current)["serial"] == 10
    with pytest.raises(ToolError, match="lineage"):
        state.successor({"lineage": "b"}, current)


def test_the_version_of_the_caches_password_is_the_states():
    group = {
        "type": "aws_elasticache_replication_group",
        "instances": [{"attributes": {"auth_token_wo_version": 4}}],
    }
    assert state.password_version({"resources": [group]}) == 4
    assert state.password_version({}) == 0


def test_addresses_are_terraforms():
    document = {
        "resources": [
            {"mode": "data", "type": "aws_x", "name": "y", "instances": [{}]},
            {
                "mode": "managed",
                "type": "aws_vpc",
                "name": "this",
                "module": "module.network",
                "instances": [{}],
            },
            {
                "mode": "managed",
                "type": "aws_eip",
                "name": "nat",
                "instances": [{"index_key": "a"}, {"index_key": 0}],
            },
        ]
    }
    assert state.addresses(document) == {"module.network.aws_vpc.this", 'aws_eip.nat["a"]', "aws_eip.nat[0]"}


def failed(message: str, *details: str) -> TerraformError:
    return TerraformError("terraform-failed", message, details=details)


@pytest.mark.parametrize(
    "message",
    [
        "creating EKS Cluster: ThrottlingException: Rate exceeded",
        "creating S3 Bucket: operation error S3: CreateBucket, https response error StatusCode: 503",
        "reading: read tcp 10.0.0.1: connection reset by peer",
        "creating EKS Node Group: InvalidParameterException: The role cannot be assumed",
        "deleting EC2 Subnet: DependencyViolation: The subnet has dependencies and cannot be deleted",
    ],
)
def test_what_goes_away_by_itself_is_known(message):
    assert transient.reason(failed(message))


@pytest.mark.parametrize(
    "error",
    [
        failed("creating VPC: InvalidParameterValue: no network"),
        failed("creating EKS Cluster: Throttling", "also: aws_vpc.this: InvalidParameterValue"),
        TerraformError("terraform-output", "Throttling"),
    ],
)
def test_what_does_not_is_not_tried_again(error):
    assert transient.reason(error) is None


def test_each_word_of_aws_is_one_error():
    class Refused(Exception):
        def __init__(self, code: str) -> None:
            self.response = {"Error": {"Code": code, "Message": "why"}}

    expected = {
        "ExpiredToken": "aws-credentials-expired",
        "InvalidClientTokenId": "aws-credentials-invalid",
        "AccessDeniedException": "aws-access-denied",
        "RequestLimitExceeded": "aws-throttled",
        "SomethingElse": "aws-refused",
    }
    for code, id_ in expected.items():
        found = faults.refusal(Refused(code), "asking")
        assert found.id == id_
        assert found.message.startswith("asking: ")
        assert found.hint
        assert found.exit_code == 4


def test_the_token_is_a_signed_request_that_names_the_cluster(profile_of, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-access-key")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    secret = kubeconfig.token(Aws(profile_of("prod").platform), "renec-prod")
    assert "k8s-aws" not in str(secret)
    encoded = secret.reveal().removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = parse_qs(url.query)
    assert query["Action"] == ["GetCallerIdentity"]
    assert "x-k8s-aws-id" in query["X-Amz-SignedHeaders"][0]
    assert int(query["X-Amz-Expires"][0]) <= 60
    assert "a-secret-access-key" not in url.query


def test_a_kubeconfig_holds_no_secret_and_is_gone_afterwards(tmp_path):
    cluster = {"name": "renec-prod", "endpoint": "https://x", "certificate_authority": "Q0E="}
    with kubeconfig.kubeconfig("prod", cluster, tmp_path, ("platform.region=eu-west-1",)) as path:
        text = path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
        assert '"cluster-token", "prod", "--set", "platform.region=eu-west-1"' in text
        assert "k8s-aws-v1" not in text
    assert not path.exists()
    assert not path.parent.exists()


def test_documents_of_the_states_bucket():
    rules = {rule["ID"]: rule for rule in policies.lifecycle("a/b.tfstate")}
    assert rules["locks"]["Filter"]["Prefix"] == "a/b.tfstate.tflock", "states are not touched by it"
    assert policies.same_rules(list(rules.values()), policies.lifecycle("a/b.tfstate"))
    assert not policies.same_rules(list(rules.values()), policies.lifecycle("other"))
    rights = policies.replication_rights("aws", "b", "c", "key", "copy-key")
    actions = [action for statement in rights["Statement"] for action in statement["Action"]]
    assert not [action for action in actions if "Delete" in action or "*" in action]


def test_every_kind_of_resource_stands_for_a_need():
    used = set()
    for path in (ROOT / "terraform" / "modules").rglob("*.tf"):
        used |= set(re.findall(r'^resource "(aws_\w+)"', path.read_text(), re.MULTILINE))
    page = (ROOT / "docs" / "reference" / "aws.md").read_text()
    table = page.partition("| need |")[2].partition("\n\n")[0]
    named = re.findall(r"`(aws_\w+)`", table)
    assert len(named) == len(set(named))
    assert set(named) == used
