"""The administrator of the environment's database, whose password RDS makes, keeps and changes by itself."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from renecinfra.errors import ToolError
from renecinfra.platforms.aws.clients import Aws
from renecinfra.platforms.aws.faults import told
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret


class Administrator:
    """Who may make roles in an instance. Nothing is asked before it has to be."""

    def __init__(self, aws: Aws, identifier: str) -> None:
        self._aws, self._identifier = aws, identifier

    @cached_property
    def _instance(self) -> dict[str, Any]:
        with told(f"asking RDS for {self._identifier}"):
            answer = self._aws.client("rds").describe_db_instances(DBInstanceIdentifier=self._identifier)
        return dict(answer["DBInstances"][0])

    @property
    def of(self) -> str:
        """Which instance it is of; another one after a restore, under the same name.

        Raises:
            ToolError: RDS cannot be asked.
        """
        return str(self._instance["DbiResourceId"])

    def login(self) -> tuple[str, Secret]:
        """Name and password; the password is registered for redaction.

        Raises:
            ToolError: RDS keeps no password for it, or we may not read it.
        """
        secret = self._instance.get("MasterUserSecret", {}).get("SecretArn")
        if not secret:
            raise ToolError(
                "aws-administrator",
                f"RDS keeps no administrator's password of {self._identifier}",
                hint="it does once the stack is applied: `manage_master_user_password`",
            )
        with told("reading the database administrator's password"):
            answer = self._aws.client("secretsmanager").get_secret_value(SecretId=secret)
        found = json.loads(answer["SecretString"])
        password = Secret(str(found["password"]))
        redactor.register(password)
        return str(found.get("username") or self._instance["MasterUsername"]), password
