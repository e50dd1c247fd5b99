"""Credentials that cannot be had, told without showing them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.errors import SecretsError
from renecinfra.secrets.auth import token
from renecinfra.secrets.auth_aws import aws


def test_what_a_failing_token_helper_printed_is_not_shown(tmp_path: Any) -> None:
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\necho hvs.canary\nexit 1\n")
    helper.chmod(0o700)
    (tmp_path / ".vault").write_text(f'token_helper = "{helper}"\n')
    with pytest.raises(SecretsError) as caught:
        token({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, "https://vault.test")
    error = caught.value
    assert "hvs.canary" not in f"{error.message}{error.hint}{error.details}"


def test_aws_credentials_that_fail_when_they_are_used_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    exceptions = pytest.importorskip("botocore.exceptions")

    def expired() -> None:
        raise exceptions.TokenRetrievalError(provider="sso", error_msg="expired")

    credentials = SimpleNamespace(get_frozen_credentials=expired)
    session = SimpleNamespace(get_credentials=lambda: credentials)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    with pytest.raises(SecretsError) as caught:
        aws({}, "aws", "role", None, None)
    assert caught.value.id == "vault-credentials-missing"
