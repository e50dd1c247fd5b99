"""Clients of AWS's API for one environment, and who we are there."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from renecinfra.errors import ToolError
from renecinfra.platforms.aws.faults import told
from renecinfra.profiles.aws import AwsPlatform
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
_ATTEMPTS: Final = 6
# Names under which tools that hand out temporary credentials say when they end.
_EXPIRATIONS: Final = ("AWS_CREDENTIAL_EXPIRATION", "AWS_SESSION_EXPIRATION")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who AWS says that we are."""

    account: str
    arn: str


class Aws:
    """AWS as an environment's platform names it. Clients are made when first asked for, and kept.

    Every method raises ToolError: ``aws-missing`` where boto3 is not installed, and what ``faults`` has.
    """

    def __init__(self, platform: AwsPlatform, environ: Mapping[str, str] | None = None) -> None:
        self.platform = platform
        self._environ = os.environ if environ is None else environ
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Any = None
        self._lock = threading.Lock()  # botocore's sessions are not safe to make clients from side by side

    def client(self, service: str, region: str | None = None) -> Any:
        """boto3's client of a service, in the environment's region unless another is named."""
        where = region or self.platform.region
        with self._lock:
            if (service, where) not in self._clients:
                self._clients[service, where] = self._make(service, where)
            return self._clients[service, where]

    def caller(self) -> Caller:
        """Who we are.

        Raises:
            ToolError: there are no credentials, or they are not valid.
        """
        with told("asking AWS who we are"):
            answer = self.client("sts").get_caller_identity()
        return Caller(str(answer["Account"]), str(answer["Arn"]))

    def require_account(self) -> Caller:
        """Who we are, in the account of the profile.

        Raises:
            ToolError: ``aws-wrong-account``.
        """
        caller = self.caller()
        if caller.account != self.platform.account:
            raise ToolError(
                "aws-wrong-account",
                f"the credentials are of {caller.account}; the profile is for {self.platform.account}",
                hint="log in to the profile's account, or choose it with AWS_PROFILE; nothing was changed",
                details=(f"we are {caller.arn}",),
            )
        return caller

    def credentials_left(self) -> timedelta | None:
        """How long the credentials live; None where they do not end or nobody says when."""
        for name in _EXPIRATIONS:
            if value := self._environ.get(name):
                try:
                    end = datetime.fromisoformat(value)
                except ValueError:
                    continue
                return (end if end.tzinfo else end.replace(tzinfo=UTC)) - datetime.now(UTC)
        with told("looking at the AWS credentials"):
            credentials = self._boto().get_credentials()
        # botocore knows it of credentials that it refreshes itself, and that end with a login behind them.
        known = getattr(credentials, "_expiry_time", None)
        return known - datetime.now(UTC) if isinstance(known, datetime) else None

    def _make(self, service: str, region: str) -> Any:
        session = self._boto()
        from botocore.config import Config

        settings: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "retries": {"mode": "standard", "max_attempts": _ATTEMPTS},
        }
        if self.platform.endpoint_url:
            settings["s3"] = {"addressing_style": "path"}
        with told(f"preparing to ask {service}"):
            return session.client(
                service,
                region_name=region,
                endpoint_url=self.platform.endpoint_url,
                config=Config(**settings),
            )

    def _boto(self) -> Any:
        if self._session is None:
            try:
                import boto3
            except ImportError:
                raise ToolError(
                    "aws-missing",
                    "environments on AWS need boto3, which is not installed",
                    hint='install it with `pip install "renecinfra[aws]"`',
                ) from None
            with told("looking for AWS credentials"):
                self._session = boto3.Session()
                credentials = self._session.get_credentials()
            for value in (getattr(credentials, "secret_key", None), getattr(credentials, "token", None)):
                if value:
                    redactor.register(Secret(value))
        return self._session
