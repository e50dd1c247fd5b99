"""The bucket of Terraform's state, made before Terraform can run: what it should be, and what it is.

Each step looks first and is done again without harm, so that a bootstrap that was cut off goes on. Nothing
that is there is loosened, and nothing is deleted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.platforms.aws import policies
from renecinfra.platforms.aws import variables as values
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import code_of, told
from renecinfra.profiles.model import Profile

_MISSING: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NotFoundException",
        "NoSuchEntity",
        "NoSuchBucketPolicy",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
        "ReplicationConfigurationNotFoundError",
        "OwnershipControlsNotFoundError",
    }
)
_ROLE_TRIES: Final = 12
_ROLE_PAUSE: Final = 2.5


@dataclass(frozen=True, slots=True)
class Step:
    """One thing about the state's place: what it is, whether it is so already, and making it so."""

    what: str
    done: bool
    make: Callable[[], None]


def steps(profile: Profile, aws: Aws) -> list[Step]:
    """What there is to do, in order, the done ones among them. Asks, and changes nothing.

    Raises:
        ToolError: AWS cannot be asked; ``aws-bucket-taken`` or ``aws-wrong-region`` where the name is in use.
    """
    aws.require_account()
    place = _Place(profile, aws)
    found: list[Step] = []
    for region, bucket, alias in (
        (place.region, place.bucket, place.alias),
        (place.copy_region, place.copy, place.alias),
    ):
        found += place.key(region, alias)
        found += place.bucket_steps(region, bucket, alias)
    return [*found, *place.replication()]


def is_bootstrapped(profile: Profile, aws: Aws) -> bool:
    """Whether the state's bucket is there, which is all that Terraform asks for.

    Raises:
        ToolError: AWS cannot be asked.
    """
    return _Place(profile, aws).exists(values.backend(profile).bucket, values.backend(profile).region)


class _Place:
    """The two buckets and keys of one environment's state."""

    def __init__(self, profile: Profile, aws: Aws) -> None:
        state, platform = values.backend(profile), values.aws(profile)
        self._aws, self._profile = aws, profile
        self.account, self.partition = platform.account, values.partition(platform)
        self.bucket, self.region = state.bucket, state.region
        self.copy_region = (
            platform.backup_region if platform.backup_region != state.region else platform.region
        )
        self.copy = f"{state.bucket[:58]}-copy"
        self.alias = state.kms_key
        self.role = f"{values.name(profile)}-state-replication"
        self.tags = values.tags(profile)

    def key(self, region: str, alias: str) -> list[Step]:
        """A KMS key that rotates, under the backend's alias; one that the profile names is its owner's."""
        if not alias.startswith("alias/"):
            return []
        kms = self._aws.client("kms", region)

        def make() -> None:
            with told(f"making the key {alias} in {region}"):
                made = kms.create_key(
                    Description=f"Terraform state of {self._profile.environment}",
                    Tags=[{"TagKey": name, "TagValue": value} for name, value in self.tags.items()],
                )["KeyMetadata"]["KeyId"]
                kms.enable_key_rotation(KeyId=made)
                # Last: a key that has the alias is whole.
                kms.create_alias(AliasName=alias, TargetKeyId=made)

        return [Step(f"KMS key {alias} in {region}", self._key_arn(region, alias) is not None, make)]

    def _key_arn(self, region: str, alias: str) -> str | None:
        kms = self._aws.client("kms", region)
        with told(f"asking KMS for {alias}"):
            found = _or_none(lambda: kms.describe_key(KeyId=alias))
        return None if found is None else str(found["KeyMetadata"]["Arn"])

    def exists(self, bucket: str, region: str) -> bool:
        """Whether the bucket is there, is ours, and is where it should be."""
        s3 = self._aws.client("s3", region)
        with told(f"looking for the bucket {bucket}"):
            try:
                answer = s3.head_bucket(Bucket=bucket)
            except Exception as error:
                if code_of(error) in _MISSING:
                    return False
                if code_of(error) in ("403", "AccessDenied"):
                    raise ToolError(
                        "aws-bucket-taken",
                        f"the bucket {bucket} is there, and these credentials may not look at it",
                        hint="another account may own the name: choose another terraform.backend.bucket",
                    ) from error
                if code_of(error) in ("301", "PermanentRedirect"):
                    raise _elsewhere(bucket, region, None) from error
                raise
        actual = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", region)
        if actual != region:
            raise _elsewhere(bucket, region, actual)
        return True

    def bucket_steps(self, region: str, bucket: str, alias: str) -> list[Step]:
        """The bucket and everything about it."""
        s3, there = self._aws.client("s3", region), self.exists(bucket, region)

        def make() -> None:
            where = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            with told(f"making the bucket {bucket}"):
                s3.create_bucket(Bucket=bucket, ObjectOwnership="BucketOwnerEnforced", **where)
                s3.get_waiter("bucket_exists").wait(Bucket=bucket)

        found = [Step(f"bucket {bucket} in {region}", there, make)]
        for what, get, put in self._settings(s3, bucket, region, alias):
            found.append(
                Step(f"{bucket}: {what}", there and _is(get, bucket, what), _putting(put, bucket, what))
            )
        return found

    def _settings(
        self, s3: Any, bucket: str, region: str, alias: str
    ) -> list[tuple[str, Callable[[], bool], Callable[[], None]]]:
        """For each setting its words, whether it is so, and making it so."""
        closed = policies.PUBLIC_ACCESS_BLOCK
        rules = policies.lifecycle(values.backend(self._profile).key)
        policy = policies.tls_only(self.partition, bucket)
        # S3 keeps a bare alias as it is given and resolves it in the caller's account: an ARN is one key.
        encryption = policies.encryption(lambda: self._key_arn(region, alias) or alias)
        return [
            (
                "public access blocked",
                lambda: s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == closed,
                lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed),
            ),
            (
                "versions kept",
                lambda: s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled",
                lambda: s3.put_bucket_versioning(
                    Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
                ),
            ),
            (
                f"encrypted with {alias}",
                lambda: policies.same_encryption(s3.get_bucket_encryption(Bucket=bucket), encryption()),
                lambda: s3.put_bucket_encryption(
                    Bucket=bucket, ServerSideEncryptionConfiguration=encryption()
                ),
            ),
            (
                "TLS only",
                lambda: json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy,
                lambda: s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy)),
            ),
            (
                "litter of locks cleared",
                lambda: policies.same_rules(
                    s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"], rules
                ),
                lambda: s3.put_bucket_lifecycle_configuration(
                    Bucket=bucket, LifecycleConfiguration={"Rules": rules}
                ),
            ),
        ]

    def replication(self) -> list[Step]:
        """The state, copied to the other region within minutes."""
        iam, s3 = self._aws.client("iam"), self._aws.client("s3", self.region)
        trust = policies.assumed_by("s3.amazonaws.com", self.account)
        role_arn = f"arn:{self.partition}:iam::{self.account}:role/{self.role}"

        def rights() -> dict[str, Any]:
            return policies.replication_rights(
                self.partition,
                self.bucket,
                self.copy,
                self._key_arn(self.region, self.alias) or self.alias,
                self._key_arn(self.copy_region, self.alias) or self.alias,
            )

        def make_role() -> None:
            with told(f"making the role {self.role}"):
                if _or_none(lambda: iam.get_role(RoleName=self.role)) is None:
                    tags = [{"Key": name, "Value": value} for name, value in self.tags.items()]
                    iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(trust), Tags=tags)
                iam.put_role_policy(
                    RoleName=self.role, PolicyName="replicate", PolicyDocument=json.dumps(rights())
                )

        def role_is_there() -> bool:
            with told(f"asking IAM for {self.role}"):
                held = _or_none(lambda: iam.get_role_policy(RoleName=self.role, PolicyName="replicate"))
            return held is not None and held["PolicyDocument"] == rights()

        def wanted() -> dict[str, Any]:
            key = self._key_arn(self.copy_region, self.alias) or self.alias
            return policies.replication(role_arn, self.partition, self.copy, key)

        def replicates() -> bool:
            with told(f"asking how {self.bucket} is replicated"):
                held = _or_none(lambda: s3.get_bucket_replication(Bucket=self.bucket))
            return held is not None and policies.same_replication(held["ReplicationConfiguration"], wanted())

        def replicate() -> None:
            with told(f"replicating {self.bucket}"):
                _once_known(
                    lambda: s3.put_bucket_replication(Bucket=self.bucket, ReplicationConfiguration=wanted())
                )

        return [
            Step(f"role {self.role}", role_is_there(), make_role),
            Step(f"{self.bucket}: copied to {self.copy} in {self.copy_region}", replicates(), replicate),
        ]


def _or_none(ask: Callable[[], Any]) -> Any:
    """What is asked for, or None where it is not there."""
    try:
        return ask()
    except Exception as error:
        if code_of(error) in _MISSING:
            return None
        raise


def _is(get: Callable[[], bool], bucket: str, what: str) -> bool:
    with told(f"asking whether {bucket} is so: {what}"):
        return bool(_or_none(get))


def _putting(put: Callable[[], None], bucket: str, what: str) -> Callable[[], None]:
    def make() -> None:
        with told(f"setting {bucket}: {what}"):
            put()

    return make


def _once_known(put: Callable[[], Any]) -> None:
    """A role takes some seconds until other services know it."""
    for left in range(_ROLE_TRIES, -1, -1):
        try:
            put()
            return
        except Exception as error:
            if left == 0 or code_of(error) not in ("InvalidRequest", "InvalidArgument", "MalformedPolicy"):
                raise
            time.sleep(_ROLE_PAUSE)


def _elsewhere(bucket: str, region: str, actual: str | None) -> ToolError:
    return ToolError(
        "aws-wrong-region",
        f"the bucket {bucket} is in {actual or 'another region'}; the profile's backend says {region}",
        hint="correct terraform.backend.region, or choose another bucket; nothing was changed",
    )
