"""The documents that the state's bucket gets, and whether what AWS has is the same. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

PUBLIC_ACCESS_BLOCK: Final = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
STATE_DAYS: Final = 365
"""How long an older state can be brought back, in days."""
LOCK_DAYS: Final = 1
_VERSION: Final = "2012-10-17"


def tls_only(partition: str, bucket: str) -> dict[str, Any]:
    """A bucket's policy that refuses requests without TLS, and old TLS."""
    resources = [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
    return {
        "Version": _VERSION,
        "Statement": [
            {"Sid": "TlsOnly", **deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Sid": "NewTlsOnly", **deny, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
        ],
    }


def lifecycle(state_key: str) -> list[dict[str, Any]]:
    """States can be brought back for a year; the version that a run leaves of its lock goes after a day."""
    return [
        {
            "ID": "states",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": STATE_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "ID": "locks",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{state_key}.tflock"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": LOCK_DAYS},
        },
        {
            "ID": "markers",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
    ]


def same_rules(held: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> bool:
    """Whether the rules are those that are wanted; AWS adds keys of its own."""
    by_id = {rule.get("ID"): rule for rule in held}
    return len(held) == len(wanted) and all(_within(rule, by_id.get(rule["ID"])) for rule in wanted)


def encryption(key: Callable[[], str]) -> Callable[[], dict[str, Any]]:
    """A bucket's default encryption; the key may come to be only after this is called."""
    return lambda: {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key()},
                "BucketKeyEnabled": True,
            }
        ]
    }


def same_encryption(held: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the bucket is encrypted as wanted."""
    rules = held["ServerSideEncryptionConfiguration"]["Rules"]
    return len(rules) == 1 and _within(wanted["Rules"][0], rules[0])


def assumed_by(service: str, account: str) -> dict[str, Any]:
    """A role's trust: a service, for our account alone."""
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ],
    }


def replication_rights(
    partition: str, bucket: str, copy: str, key_arn: str, copy_key_arn: str
) -> dict[str, Any]:
    """What S3 may do to copy: read the one, write the other, and delete nothing."""
    source, target = f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{copy}"
    reads = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
    statements = [
        (["s3:GetReplicationConfiguration", "s3:ListBucket"], source),
        (reads, f"{source}/*"),
        (["s3:ReplicateObject", "s3:ReplicateTags"], f"{target}/*"),
        (["kms:Decrypt"], key_arn),
        (["kms:Encrypt", "kms:GenerateDataKey"], copy_key_arn),
    ]
    return {
        "Version": _VERSION,
        "Statement": [{"Effect": "Allow", "Action": act, "Resource": what} for act, what in statements],
    }


def replication(role_arn: str, partition: str, copy: str, copy_key_arn: str) -> dict[str, Any]:
    """Everything is copied, deletions are not."""
    return {
        "Role": role_arn,
        "Rules": [
            {
                "ID": "everything",
                "Priority": 1,
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "DeleteMarkerReplication": {"Status": "Disabled"},
                "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
                "Destination": {
                    "Bucket": f"arn:{partition}:s3:::{copy}",
                    "EncryptionConfiguration": {"ReplicaKmsKeyID": copy_key_arn},
                },
            }
        ],
    }


def same_replication(held: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the replication is the one that is wanted."""
    rules = held["Rules"]
    keys = ("Status", "DeleteMarkerReplication", "SourceSelectionCriteria", "Destination")
    rule = wanted["Rules"][0]
    return (
        held["Role"] == wanted["Role"]
        and len(rules) == 1
        and all(_within(rule[key], rules[0].get(key)) for key in keys)
    )


def _within(wanted: Any, held: Any) -> bool:
    """Whether everything that is wanted is held; what is held beyond it does not count."""
    if isinstance(wanted, dict):
        return isinstance(held, dict) and all(_within(value, held.get(key)) for key, value in wanted.items())
    return bool(wanted == held)
