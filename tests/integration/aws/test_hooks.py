"""The hooks of an environment in AWS against moto: what is right passes, and what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from renecinfra.errors import ToolError
from renecinfra.hooks.aws_backups import BackupsHook
from renecinfra.hooks.aws_database import DatabaseHook
from renecinfra.hooks.aws_monitoring import MonitoringHook
from renecinfra.hooks.protocol import AwsHookContext, Check
from renecinfra.platforms.aws.administrator import Administrator
from renecinfra.redaction import redactor
from tests.integration.aws.conftest import ACCOUNT, Cloud
from tests.integration.aws.test_bootstrap import FAULTS, Failing
from tests.integration.aws.test_up import furnish

pytestmark = [pytest.mark.integration]


def context(cloud: Cloud, topic: str = "") -> AwsHookContext:
    outputs: dict[str, Any] = {
        "database": {"identifier": "renec-cloud", "replicas": ["renec-cloud-replica-1"]},
        "backup": {"vaults": {"us-east-1": "renec-cloud", "us-west-2": "renec-cloud"}},
        "storage": {"backups": f"renec-cloud-backups-{ACCOUNT}"},
        "monitoring": {"alarms": ["renec-cloud-cpu", "renec-cloud-public"], "topic_arn": topic},
    }
    return AwsHookContext(cloud.profile(), cloud.aws(), outputs, lambda _text: None)


def wrong(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


def test_the_database_is_as_the_profile_says(cloud: Cloud):
    furnish(cloud)
    hook, seen = DatabaseHook(), context(cloud)
    assert "1 replicas" in hook.run(seen)
    assert wrong(hook.verify(seen)) == []
    rds = cloud.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier="renec-cloud", MultiAZ=False, DeletionProtection=False)
    assert wrong(hook.verify(seen)) == ["standby in another zone", "renec-cloud is protected"]


def test_a_database_that_is_not_there_is_one_clear_error(cloud: Cloud):
    with pytest.raises(ToolError) as caught:
        DatabaseHook().run(context(cloud))
    assert "renec-cloud" in caught.value.message


def test_backups_are_taken_kept_and_copied(cloud: Cloud):
    furnish(cloud)
    hook, seen = BackupsHook(), context(cloud)
    hook.run(seen)
    assert wrong(hook.verify(seen)) == []
    cloud.client("rds").modify_db_instance(DBInstanceIdentifier="renec-cloud", BackupRetentionPeriod=3)
    assert wrong(hook.verify(seen)) == ["backups are kept"]
    cloud.client("s3").delete_bucket_replication(Bucket=f"renec-cloud-backups-{ACCOUNT}")
    assert f"bucket renec-cloud-backups-{ACCOUNT} is copied" in wrong(hook.verify(seen))


def test_alarms_are_there_and_tell_somebody(cloud: Cloud):
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="renec-cloud-alarms-here")["TopicArn"]
    hook, seen = MonitoringHook(), context(cloud, topic)
    assert wrong(hook.verify(seen)) == ["alarms are there", "people are told"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="oncall@example.org")
    for name, actions in (("renec-cloud-cpu", [topic]), ("renec-cloud-public", [])):
        cloud.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            MetricName="m",
            Namespace="n",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            Statistic="Sum",
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=actions,
        )
    assert wrong(hook.verify(seen)) == ["alarms tell somebody"]
    cloud.client("cloudwatch").set_alarm_state(
        AlarmName="renec-cloud-cpu", StateValue="ALARM", StateReason="test"
    )
    assert hook.run(seen) == "ringing: renec-cloud-cpu"


def test_the_administrators_password_is_where_rds_keeps_it(cloud: Cloud):
    rds = cloud.client("rds")
    made = {"Engine": "postgres", "DBInstanceClass": "db.m7g.large", "AllocatedStorage": 20}
    rds.create_db_instance(
        DBInstanceIdentifier="kept", MasterUsername="renec_admin", ManageMasterUserPassword=True, **made
    )
    rds.create_db_instance(
        DBInstanceIdentifier="own", MasterUsername="renec_admin", MasterUserPassword="not-used-here", **made
    )
    kept = rds.describe_db_instances(DBInstanceIdentifier="kept")["DBInstances"][0]
    value = json.dumps({"username": "renec_admin", "password": "an-administrators-canary"})
    cloud.client("secretsmanager").put_secret_value(
        SecretId=kept["MasterUserSecret"]["SecretArn"], SecretString=value
    )
    found = Administrator(cloud.aws(), "kept")
    user, password = found.login()
    assert (user, password.reveal()) == ("renec_admin", "an-administrators-canary")
    assert "an-administrators-canary" not in redactor("it is an-administrators-canary")
    assert found.of == kept["DbiResourceId"]

    with pytest.raises(ToolError) as caught:
        Administrator(cloud.aws(), "own").login()
    assert caught.value.id == "aws-administrator"
    with pytest.raises(ToolError):
        _ = Administrator(cloud.aws(), "nothing").of


@pytest.mark.parametrize("code", list(FAULTS))
@pytest.mark.parametrize(
    "hook", [DatabaseHook(), BackupsHook(), MonitoringHook()], ids=lambda hook: hook.name
)
def test_every_call_of_a_hook_fails_with_one_clear_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, hook: Any, code: str
):
    """Whatever AWS refuses is told as what it is; nothing passes that was not looked at."""
    furnish(cloud)
    topic = cloud.client("sns").create_topic(Name="renec-cloud-alarms-here")["TopicArn"]
    seen, refused = context(cloud, topic), 0
    for nth in range(1, 30):
        with monkeypatch.context() as patch:
            failing = Failing(patch, nth, code)
            try:
                hook.run(seen)
                checks = hook.verify(seen)
            except ToolError as error:
                assert error.id in FAULTS[code], failing.calls[-1]
                assert error.hint
                refused += 1
                continue
        if len(failing.calls) < nth:
            break
        assert wrong(checks), f"{failing.calls[nth - 1]} was refused, and every check passed"
    assert refused >= 1
