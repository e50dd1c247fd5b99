"""`restore` and `backup` in AWS against moto's RDS: names change places, and every way out leads somewhere.

moto has each instance available at once and keeps no data: what is shown here are the calls, their order and
what they leave behind, also when a run is cut off between any two of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from renecinfra.errors import DeclinedError, RenecError, RestoreError, ToolError, UsageError
from renecinfra.platforms.aws.recovery import TAG, Instances, Names, tags_of
from renecinfra.provision import approving
from renecinfra.provision.aws import (
    adopting,
    backups,
    bring_up,
    drilling,
    restore_planning,
    restore_progress,
    restoring,
    tear_down,
    undoing,
)
from renecinfra.provision.aws.restoring import Questions
from renecinfra.recovery.engine.checking import Finding
from renecinfra.recovery.targets import BackupTarget, LatestTarget, LsnTarget, RecoveryTarget, TimeTarget
from tests.aws.driver import Recorded
from tests.integration.aws.conftest import NO_HOOKS, PASSWORD, Cloud

pytestmark = [pytest.mark.integration]

BASE = "renec-cloud"
REPLICA = f"{BASE}-replica-1"
YES = Questions(lambda _made: None, lambda _names, _address: None)


class Died(BaseException):
    """The process is killed."""


@pytest.fixture
def adopted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Terraform's part has tests of its own, below and in test_up."""
    calls: list[str] = []
    monkeypatch.setattr(adopting, "adopt", lambda session, instances: calls.append(instances.base))
    return calls


@pytest.fixture
def database(cloud: Cloud, make_bootstrap: Any) -> Iterator[Cloud]:
    """An environment's database as Terraform makes it, in moto."""
    make_bootstrap(cloud)
    make_database(cloud)
    yield cloud


def make_database(cloud: Cloud) -> None:
    network(cloud)
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=BASE,
        Engine="postgres",
        EngineVersion="16.9",
        DBInstanceClass="db.m7g.large",
        AllocatedStorage=100,
        MasterUsername="renec_admin",
        MasterUserPassword="not-used-by-anybody",
        StorageEncrypted=True,
        KmsKeyId=cloud.client("kms").create_key()["KeyMetadata"]["Arn"],
        DeletionProtection=True,
        BackupRetentionPeriod=35,
        DBSubnetGroupName=BASE,
        DBParameterGroupName=f"{BASE}-postgres16",
    )
    cloud.client("rds").create_db_instance_read_replica(
        DBInstanceIdentifier=REPLICA, SourceDBInstanceIdentifier=BASE, DeletionProtection=True
    )


def network(cloud: Cloud) -> None:
    ec2, rds = cloud.client("ec2"), cloud.client("rds")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")
        for n, zone in enumerate("ab")
    ]
    ec2.create_security_group(GroupName=f"{BASE}-database", Description="x", VpcId=vpc)
    rds.create_db_subnet_group(
        DBSubnetGroupName=BASE,
        DBSubnetGroupDescription="x",
        SubnetIds=[one["Subnet"]["SubnetId"] for one in subnets],
    )
    rds.create_db_parameter_group(
        DBParameterGroupName=f"{BASE}-postgres16", DBParameterGroupFamily="postgres16", Description="x"
    )


def names_in(cloud: Cloud) -> list[str]:
    found = cloud.client("rds").describe_db_instances()["DBInstances"]
    return sorted(one["DBInstanceIdentifier"] for one in found)


def instances(cloud: Cloud) -> Instances:
    return Instances(cloud.profile(), cloud.aws(), poll=0)


def restore(cloud: Cloud, target: RecoveryTarget, questions: Questions = YES) -> restoring.AwsRestoreResult:
    return restoring.restore(cloud.session(), target, questions, ["restore"], instances(cloud))


def primary(cloud: Cloud) -> dict[str, Any]:
    found = instances(cloud).find(BASE)
    assert found is not None
    return found


def test_the_restored_instance_gets_the_name_and_the_old_one_is_kept(database: Cloud, adopted: list[str]):
    before = primary(database)
    done = restore(database, LatestTarget())
    names = Names(BASE, done.id)
    assert names_in(database) == sorted([BASE, names.kept(BASE), names.kept(REPLICA)])
    after = primary(database)
    assert after["DbiResourceId"] != before["DbiResourceId"]
    old = instances(database).find(names.kept(BASE))
    assert old is not None
    assert old["DbiResourceId"] == before["DbiResourceId"]
    assert adopted == [BASE]
    assert done.kept == (names.kept(BASE), names.kept(REPLICA))
    # It is as the profile says, not as RDS makes instances by default.
    assert after["DeletionProtection"]
    assert after["MultiAZ"]
    assert not after.get("PubliclyAccessible")
    assert after["BackupRetentionPeriod"] == 35
    assert after["MasterUserSecret"]["KmsKeyId"] == before["KmsKeyId"]
    assert after["DBSubnetGroup"]["DBSubnetGroupName"] == BASE
    assert tags_of(after)["Environment"] == "cloud"
    listed = backups.listing(database.session(), instances(database))
    assert done.snapshot in [one.identifier for one in listed.snapshots]


def test_undo_goes_back_and_finish_clears_up(database: Cloud, adopted: list[str]):
    before = primary(database)["DbiResourceId"]
    names = Names(BASE, restore(database, LatestTarget()).id)
    # What Terraform makes anew: a replica of the restored primary, under the old one's name.
    database.client("rds").create_db_instance_read_replica(
        DBInstanceIdentifier=REPLICA, SourceDBInstanceIdentifier=BASE, DeletionProtection=True
    )
    asked: list[tuple[str, ...]] = []
    done = undoing.undo(database.session(), lambda _f, lost: asked.append(lost), ["u"], instances(database))
    assert asked == [(names.kept(BASE), names.kept(REPLICA))]
    assert primary(database)["DbiResourceId"] == before
    assert names_in(database) == sorted([BASE, REPLICA, names.undone(BASE), names.undone(REPLICA)])
    assert done.kept == (names.undone(BASE), names.undone(REPLICA))
    assert adopted == [BASE, BASE]

    gone = undoing.finish(database.session(), lambda _f, lost: asked.append(lost), ["f"], instances(database))
    assert set(asked[-1]) == set(gone.deleted) == {names.undone(BASE), names.undone(REPLICA)}
    assert gone.snapshots == (f"{names.undone(BASE)}-final",), "a primary leaves what it had"
    assert names_in(database) == [BASE, REPLICA]
    with pytest.raises(RestoreError) as caught:
        undoing.undo(database.session(), lambda *_: None, ["u"], instances(database))
    assert caught.value.id == "restore-none"


def test_finish_removes_the_old_database_and_another_restore_may_begin(database: Cloud, adopted: list[str]):
    names = Names(BASE, restore(database, LatestTarget()).id)
    with pytest.raises(RestoreError) as caught:
        restore(database, LatestTarget())
    assert caught.value.id == "restore-kept"
    with pytest.raises(RestoreError) as caught:
        undoing.abort(database.session(), lambda *_: None, ["a"], instances(database))
    assert caught.value.id == "restore-too-late"
    done = undoing.finish(database.session(), lambda *_: None, ["f"], instances(database))
    assert done.snapshots == (f"{names.kept(BASE)}-final",)
    assert names_in(database) == [BASE]
    assert TAG not in tags_of(primary(database))
    assert restoring.progress_of(instances(database)) is None


def test_a_refusal_before_the_cutover_leaves_the_running_database_alone(database: Cloud, adopted: list[str]):
    def no(*_: object) -> None:
        raise DeclinedError("declined", "no", hint="no")

    before = primary(database)
    with pytest.raises(DeclinedError):
        restore(database, LatestTarget(), Questions(no, no))
    assert names_in(database) == [BASE, REPLICA], "nothing was made before the plan was confirmed"
    seen: list[str] = []

    def look(names: Names, address: str) -> None:
        seen.append(address)
        no()

    with pytest.raises(DeclinedError):
        restore(database, LatestTarget(), Questions(lambda _made: None, look))
    assert "-restored-" in seen[0], "the address of the restored one is told"
    assert primary(database)["DbiResourceId"] == before["DbiResourceId"]
    with pytest.raises(RestoreError) as caught:
        restore(database, LatestTarget())
    assert caught.value.id == "restore-unfinished"
    assert "--abort" in (caught.value.hint or "")
    with pytest.raises(RestoreError):
        undoing.finish(database.session(), lambda *_: None, ["f"], instances(database))
    undoing.abort(database.session(), lambda *_: None, ["a"], instances(database))
    assert names_in(database) == [BASE, REPLICA]
    assert adopted == []


# What is done of RDS between the confirmation and the end; a run is cut off before each in turn.
CALLS = ("restore", "take_over", "rename", "rename", "rename", "snap")


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("way", ["resume", "back"])
def test_a_run_that_is_cut_off_is_gone_on_with_or_taken_back(
    database: Cloud, adopted: list[str], number: int, way: str, monkeypatch: pytest.MonkeyPatch
):
    before, made = primary(database)["DbiResourceId"], []
    with monkeypatch.context() as patch:
        for call in set(CALLS):
            patch.setattr(Instances, call, _counted(getattr(Instances, call), made, number))
        with pytest.raises(Died):
            restore(database, LatestTarget())
    assert tuple(made) == CALLS[: number + 1]

    session, found = database.session(), restoring.progress_of(instances(database))
    if found is not None and number in (3, 4):
        with pytest.raises(RestoreError) as caught:
            restore_progress.refuse_between(found, "cloud")
        assert "--resume" in (caught.value.hint or "")
    else:
        restore_progress.refuse_between(found, "cloud")
    if found is None:
        assert number == 0
        assert names_in(database) == [BASE, REPLICA]
        return
    if way == "resume":
        done = restoring.resume(session, YES, ["r"], instances(database))
        names = Names(BASE, done.id)
        assert names_in(database) == sorted([BASE, names.kept(BASE), names.kept(REPLICA)])
        assert primary(database)["DbiResourceId"] != before
        return
    if found.touched:
        undoing.undo(session, lambda *_: None, ["u"], instances(database))
    else:
        undoing.abort(session, lambda *_: None, ["a"], instances(database))
    assert primary(database)["DbiResourceId"] == before
    assert {BASE, REPLICA} <= set(names_in(database))
    left = restoring.progress_of(instances(database))
    if left is not None and left.beside:
        undoing.abort(session, lambda *_: None, ["a"], instances(database))
    elif left is not None:
        undoing.finish(session, lambda *_: None, ["f"], instances(database))
    assert names_in(database) == [BASE, REPLICA]


def _counted(real: Any, made: list[str], number: int) -> Any:
    def call(self: Instances, *arguments: Any, **named: Any) -> Any:
        made.append(real.__name__)
        if len(made) > number:
            raise Died
        return real(self, *arguments, **named)

    return call


def test_an_undo_that_is_cut_off_is_gone_on_with(database: Cloud, adopted: list[str], monkeypatch: Any):
    before = primary(database)["DbiResourceId"]
    names = Names(BASE, restore(database, LatestTarget()).id)
    for _ in range(2):
        made: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(Instances, "rename", _counted(Instances.rename, made, 1))
            with pytest.raises(Died):
                undoing.undo(database.session(), lambda *_: None, ["u"], instances(database))
        with pytest.raises(RestoreError) as caught:
            undoing.finish(database.session(), lambda *_: None, ["f"], instances(database))
        assert caught.value.id == "restore-unfinished", "nothing is deleted in between"
        with pytest.raises(RestoreError) as caught:
            restoring.resume(database.session(), YES, ["r"], instances(database))
        assert caught.value.id == "restore-undoing"
    undoing.undo(database.session(), lambda *_: None, ["u"], instances(database))
    assert primary(database)["DbiResourceId"] == before
    assert names_in(database) == sorted([BASE, REPLICA, names.undone(BASE)])


def test_what_rds_cannot_restore_to_is_refused(database: Cloud):
    session, rds, now = database.session(), instances(database), datetime.now(UTC)
    for target, error in (
        (TimeTarget(now + timedelta(hours=1), ""), "restore-target-future"),
        (TimeTarget(now - timedelta(days=2), ""), "restore-target-before"),
        (LsnTarget("0/3000148"), "restore-target-unsupported"),
        (BackupTarget("no-such-snapshot"), "restore-no-backup"),
    ):
        with pytest.raises(RestoreError) as caught:
            restore_planning.plan(session, rds, target)
        assert (caught.value.id, caught.value.exit_code) == (error, 9)
        assert caught.value.hint
    assert names_in(database) == [BASE, REPLICA]


def test_a_snapshot_is_restored_when_the_instance_is_gone(database: Cloud, adopted: list[str]):
    taken = backups.create(database.session(), "before the test", ["backup"], instances(database))
    assert taken.reason == "before the test"
    rds = database.client("rds")
    for name in (REPLICA, BASE):
        rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    with pytest.raises(RestoreError) as caught:
        restore_planning.plan(database.session(), instances(database), LatestTarget())
    assert "--backup" in (caught.value.hint or "")
    made: list[Any] = []
    done = restore(database, BackupTarget(taken.identifier), Questions(made.append, lambda *_: None))
    assert "nothing can be kept" in made[0].warnings[0]
    assert names_in(database) == [BASE]
    assert done.kept == ()
    assert restoring.progress_of(instances(database)) is None, "there is nothing to finish"
    assert restore_planning.plan(database.session(), instances(database), LatestTarget()).moved == (BASE,)


def test_a_drill_restores_looks_and_deletes(database: Cloud, monkeypatch: pytest.MonkeyPatch):
    done = drilling.drill(database.session(), ["drill"], instances(database))
    assert {one.name for one in done.findings} >= {"engine", "encryption", "private", "backups", "RTO"}
    assert names_in(database) == [BASE, REPLICA]
    time.sleep(1.1)  # restores are named by the second
    with monkeypatch.context() as patch:
        patch.setattr(drilling, "check", lambda *_: [Finding("engine", False, "PostgreSQL 9")])
        with pytest.raises(RestoreError):
            drilling.drill(database.session(), ["drill"], instances(database))
    assert names_in(database) == [BASE, REPLICA], "also where something is wrong"
    time.sleep(1.1)
    told = database.run("drill", "cloud", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["ok"]
    assert "DrillStale will not know of it: cloud is not up" in told.stderr, "it has no cluster here"


def test_the_guard_knows_how_much_going_back_would_lose(database: Cloud):
    age = approving.backup_age(database.session())
    assert age is not None
    assert timedelta() <= age < timedelta(minutes=1)


def test_the_network_has_to_be_there(database: Cloud, adopted: list[str]):
    group = database.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [f"{BASE}-database"]}]
    )["SecurityGroups"][0]["GroupId"]
    database.client("ec2").delete_security_group(GroupId=group)
    with pytest.raises(ToolError) as caught:
        restore(database, LatestTarget())
    assert caught.value.id == "restore-no-network"
    assert names_in(database) == [BASE, REPLICA]


def test_a_wrong_instance_is_not_adopted(database: Cloud, adopted: list[str]):
    settings = database.client("rds")
    settings.create_db_parameter_group(
        DBParameterGroupName="other", DBParameterGroupFamily="postgres16", Description="x"
    )

    class Wrong(Instances):
        def take_over(self, name: str, note: Any) -> None:
            settings.modify_db_instance(DBInstanceIdentifier=name, DBParameterGroupName="other")

    wrong = Wrong(database.profile(), database.aws(), poll=0)
    with pytest.raises(RenecError) as caught:
        restoring.restore(database.session(), LatestTarget(), YES, ["r"], wrong)
    assert "settings" in str(caught.value.message) + str(caught.value.details)
    assert {BASE, REPLICA} < set(names_in(database))


def test_commands_say_what_they_do_and_what_aws_has_not(database: Cloud):
    listed = database.run("backup", "cloud", "list", "--json")
    assert listed.returncode == 1, "moto copies no backups"
    seen = json.loads(listed.stdout)
    assert seen["problems"] == ["no backup is copied to us-west-2"]
    assert seen["primary_alive"]
    assert seen["window"]["latest"]

    taken = database.run("backup", "cloud", "create", "--reason", "by a test", "--json")
    assert taken.returncode == 0, taken.stderr
    identifier = json.loads(taken.stdout)["identifier"]
    dry = database.run("restore", "cloud", "--backup", identifier, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert identifier in dry.stdout
    assert f"{BASE}-before-" in dry.stdout
    unconfirmed = database.run("restore", "cloud", "--latest")
    assert unconfirmed.returncode == 1, "nobody can be asked"
    assert "confirmation-needed" in unconfirmed.stderr
    gone = database.run("backup", "cloud", "expire", "--backup", identifier, "--yes")
    assert gone.returncode == 0, gone.stderr
    for words in (
        ("restore", "cloud", "--latest", "--table", "public.standards"),
        ("restore", "cloud", "--latest", "--into", "local"),
        ("backup", "cloud", "verify"),
        ("backup", "cloud", "point", "here"),
        ("backup", "cloud", "create", "--type", "full"),
    ):
        refused = database.run(*words)
        assert refused.returncode == 64, refused.stderr
        assert "aws-unsupported" in refused.stderr
    assert names_in(database) == [BASE, REPLICA]


def drifts(cloud: Cloud) -> None:
    """`drift` of what was just applied, and after somebody turned a protection off by hand."""
    quiet = cloud.run("drift", cloud.name, "--json")
    assert quiet.returncode == 0, quiet.stderr
    seen = json.loads(quiet.stdout)
    assert seen["items"] == []
    assert "objects" in seen["skipped"], "its cluster is the stub's, which nobody can ask"
    cloud.mirror.drift("aws_db_instance", {"deletion_protection": False})
    found = cloud.run("drift", cloud.name, "--json")
    assert found.returncode == 2, found.stderr
    items = {one["address"]: one["seen"] for one in json.loads(found.stdout)["items"]}
    assert items["module.database.aws_db_instance.primary"] == "differs in deletion_protection"
    cloud.mirror.drift("aws_db_instance", {})


@pytest.mark.slow
def test_terraform_follows_and_replaces_nothing(cloud: Cloud):
    """Real Terraform and its real state; the provider is the stub, which knows nothing of moto."""
    releases = Recorded(cloud.workspace.root / "releases")
    questions = bring_up.Questions(lambda _looked: None, lambda _made: None)
    bring_up.up(cloud.session(*NO_HOOKS), questions, ["up"], releases)
    make_database(cloud)
    drifts(cloud)
    session = cloud.session()
    before = {one.address for one in session.terraform().state_resources()}
    seen = len(cloud.mirror.applied())
    names = Names(BASE, restoring.restore(session, LatestTarget(), YES, ["restore"], instances(cloud)).id)

    done = cloud.mirror.applied()[seen:]
    assert done.count("import aws_db_instance") == 1
    assert sorted(one for one in done if one.startswith(("create", "delete"))) == [
        "create aws_db_instance",
        "create aws_db_instance_automated_backups_replication",
    ], "the new primary's replica and its copies; nothing is deleted"
    assert {one.address for one in session.terraform().state_resources()} == before
    again = cloud.run("plan", cloud.name, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["changes"] is False, again.stdout

    with pytest.raises(RestoreError) as caught:
        tear_down.down(cloud.session(), lambda _made: None, ["down"], delete_backups=False)
    assert caught.value.id == "restore-kept", "what is kept is in the network, and in no state"

    undoing.undo(cloud.session(), lambda *_: None, ["undo"], instances(cloud))
    assert set(names_in(cloud)) == {BASE, REPLICA, names.undone(BASE)}
    assert not [one for one in cloud.mirror.applied()[seen:] if one.startswith("delete")]
    secret = PASSWORD.encode()
    assert not [
        path
        for path in cloud.workspace.paths(cloud.name).state.rglob("*")
        if path.is_file() and secret in path.read_bytes()
    ]


def test_a_snapshot_that_rds_expires_is_not_deleted_by_hand(database: Cloud):
    for one in backups.listing(database.session(), instances(database)).snapshots:
        assert one.kind != "manual"
        with pytest.raises(UsageError) as caught:
            backups.expire(database.session(), one.identifier, lambda _s: None, ["e"], instances(database))
        assert caught.value.id == "backup-not-ours"
    with pytest.raises(UsageError) as caught:
        backups.expire(database.session(), "no-such", lambda _s: None, ["e"], instances(database))
    assert caught.value.id == "backup-unknown"
