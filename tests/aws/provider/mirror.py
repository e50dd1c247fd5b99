"""Puts the schema's provider where Terraform finds it: a directory that serves as its mirror of providers."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.aws.provider import replacing, schema

PACKAGE = "cdktn-provider-aws"
VERSION = "25.8.1"
"""The typings of hashicorp/aws 6.69.1."""
_SERVER = Path(__file__).with_name("server.py")
_HOST = "registry.terraform" + ".io"
_TYPES = re.compile(r'^(?:resource|data) "(aws_\w+)"', re.MULTILINE)


@dataclass(frozen=True)
class Mirror:
    """A mirror with one provider. ``directory`` also holds the server's faults and its log."""

    directory: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        """What Terraform's environment needs beside the usual."""
        return {"TF_CLI_CONFIG_FILE": str(self.directory / "terraformrc")}

    def fail(self, kind: str, message: str) -> None:
        """Have the next creation of a resource of this type fail."""
        self._put("faults", kind, message)

    def slow(self, kind: str, seconds: float) -> None:
        """Have the next creation of a resource of this type take its time."""
        self._put("slow", kind, str(seconds))

    def says(self, kind: str, attributes: dict[str, Any]) -> None:
        """Have what is made of this type compute these attributes, in the place of made-up ones."""
        self._put("said", kind, json.dumps(attributes))

    def drift(self, kind: str, attributes: dict[str, Any]) -> None:
        """Have every resource of this type be found with other attributes; with none, as it was left."""
        self._put("drift", kind, json.dumps(attributes))

    def applied(self) -> list[str]:
        """What was done, a line for each change, such as `create aws_vpc`."""
        log = self.directory / "applied.log"
        return log.read_text().splitlines() if log.is_file() else []

    def _put(self, what: str, kind: str, text: str) -> None:
        (self.directory / what).mkdir(exist_ok=True)
        (self.directory / what / kind).write_text(text)


def types_in(directories: Iterable[Path]) -> set[str]:
    """The types of the resources and data sources that HCL below these directories uses."""
    found: set[str] = set()
    for directory in directories:
        for path in directory.rglob("*.tf"):
            found |= set(_TYPES.findall(path.read_text(encoding="utf-8")))
    return found


def make_mirror(directory: Path, types: set[str], answers: dict[str, Any] | None = None) -> Mirror:
    """A mirror below ``directory`` whose provider knows these types.

    ``answers`` maps a data source's type to attributes that it answers with.
    """
    whole = _schema()
    directory.mkdir(parents=True, exist_ok=True)
    schema_file = directory / "schema.json"
    schema_file.write_text(json.dumps(whole.document(types)))
    (directory / "answers.json").write_text(json.dumps(answers or {}))
    (directory / "replacing.json").write_text(json.dumps({"*": replacing.EVERYWHERE} | replacing.ARGUMENTS))
    place = directory / "providers" / _HOST / "hashicorp" / "aws" / whole.version / _platform()
    place.mkdir(parents=True, exist_ok=True)
    binary = place / f"terraform-provider-aws_v{whole.version}"
    binary.write_text(
        f"#!/bin/sh\nexec {shlex.join([sys.executable, '-I', str(_SERVER), str(schema_file)])}\n"
    )
    binary.chmod(0o755)
    (directory / "terraformrc").write_text(
        "provider_installation {\n  filesystem_mirror {\n"
        f'    path = "{directory / "providers"}"\n  }}\n}}\ndisable_checkpoint = true\n'
    )
    return Mirror(directory, whole.version)


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    return f"{platform.system().lower()}_{machine}"


def _schema() -> schema.Schema:
    """The schema, from the cache or from the package; the cache's name says what it was made of and by."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "renecinfra-tests"
    maker = hashlib.sha256(Path(schema.__file__).read_bytes()).hexdigest()[:12]
    cached = cache / f"aws-schema-{VERSION}-{maker}.json.gz"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.is_file():
            wheel = _download(cache)
            found = schema.read_wheel(wheel)
            temporary = cached.with_suffix(".new")
            temporary.write_bytes(gzip.compress(json.dumps(found.document()).encode(), 6))
            temporary.replace(cached)
            wheel.unlink()
    return schema.Schema(**json.loads(gzip.decompress(cached.read_bytes())))


def _download(cache: Path) -> Path:
    """The package's wheel; skips the test where no index has it."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    argv += ["--only-binary=:all:", "--dest", str(cache), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    wheels = list(cache.glob(f"{PACKAGE.replace('-', '_')}-{VERSION}-*.whl"))
    if done.returncode != 0 or not wheels:
        message = f"{PACKAGE} {VERSION} cannot be downloaded, which the provider's schema is read from: "
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if os.environ.get("CI"):
            pytest.fail(message + reason)
        pytest.skip(message + reason)
    return wheels[0]
