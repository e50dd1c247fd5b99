"""The AWS IAM login: a signed request to STS that Vault sends on, so that AWS itself says who we are.

The format is that of Vault's aws auth method (developer.hashicorp.com/vault/api-docs/auth/aws#login): method,
URL, body and headers of the request, each but the method in base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

from renecinfra.errors import SecretsError
from renecinfra.redaction import redactor
from renecinfra.secrets.vault_types import Login, MethodLogin
from renecinfra.sensitive import Secret

_BODY: Final = "Action=GetCallerIdentity&Version=2011-06-15"
_SERVER_ID: Final = "X-Vault-AWS-IAM-Server-ID"


def aws(
    environ: Mapping[str, str], mount: str, role: str, server_id: str | None, region: str | None
) -> Login:
    """A login by the credentials that AWS's own tools would use: environment, profile, instance or pod role.

    ``server_id`` is signed along, so that the request is worth nothing to another Vault. ``region`` is whose
    STS is asked, unless AWS_REGION names one.

    Raises:
        SecretsError: there are no AWS credentials, or boto3 is not installed.
    """
    try:
        import boto3
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise SecretsError(
            "aws-missing",
            "the AWS login needs boto3, which is not installed",
            hint='install it with `pip install "renecinfra[aws]"`',
        ) from None
    where = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or region or "us-east-1"
    url = f"https://sts.{where}.amazonaws.com/"
    try:
        credentials = boto3.Session(region_name=where).get_credentials()
        if credentials is None:
            raise _missing("boto3 finds none")
        # Single sign-on and assumed roles are asked for only here.
        frozen = credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        raise _missing(str(error)) from None
    for value in (frozen.secret_key, frozen.token):
        if value:
            redactor.register(Secret(value))
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    if server_id:
        headers[_SERVER_ID] = server_id
    request = AWSRequest("POST", url, headers, _BODY)
    SigV4Auth(frozen, "sts", where).add_auth(request)
    body = {
        "role": role,
        "iam_http_request_method": "POST",
        "iam_request_url": _encoded(url),
        "iam_request_body": _encoded(_BODY),
        "iam_request_headers": _encoded(json.dumps(dict(request.headers.items()))),
    }
    return MethodLogin("aws", mount, body, f"the AWS credentials ({credentials.method})")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _missing(reason: str) -> SecretsError:
    return SecretsError(
        "vault-credentials-missing",
        f"there are no AWS credentials for the login to Vault: {reason}",
        hint="run `aws sso login`, or see the role of the instance or pod",
    )
