from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from renecinfra.errors import ExitCode, ToolError
from renecinfra.process import Completed
from renecinfra.services import installation
from renecinfra.services.binaries import PROGRAMS, Search
from renecinfra.workspace import ServiceUser


class Machine:
    """Stands in for the machine: records commands, and what stood in the policy files meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.policies: list[tuple[bool, bool]] = []
        self.failing: dict[str, int] = {}
        self.missing = {"nginx", "postgres", "redis-cli"}
        self.directory = directory
        self.policy = directory / "policy-rc.d"
        self.cluster = directory / "createcluster.d" / "renecinfra.conf"

    def run(self, argv: list[str], *, env: dict[str, str] | None = None, **_: Any) -> Completed:
        self.commands.append(argv)
        self.environments.append(env or {})
        self.policies.append((self.policy.exists(), self.cluster.exists()))
        word = next((word for word in self.failing if word in argv), None)
        if word is not None and self.failing[word] > 0:
            self.failing[word] -= 1
            return Completed(tuple(argv), 100, "", "E: Unable to fetch some archives")
        if "install" in argv:
            self.missing.clear()
        return Completed(tuple(argv), 0, "", "")

    def search(self, *_: object, **__: object) -> Search:
        programs = tuple(PROGRAMS[name] for name in sorted(self.missing))
        return Search({}, programs, tuple(program.package for program in programs))

    def words(self) -> list[str]:
        return [
            next(word for word in argv if word in ("update", "install", "disable")) for argv in self.commands
        ]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(installation, "_POLICY", made.policy)
    monkeypatch.setattr(installation, "_CLUSTER_POLICY", made.cluster)
    monkeypatch.setattr(installation, "_PACKAGE_LISTS", tmp_path / "lists")
    monkeypatch.setattr(installation.process, "run", made.run)
    monkeypatch.setattr(installation.binaries, "search", made.search)
    monkeypatch.setattr(installation.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(installation.os, "geteuid", lambda: 0)
    monkeypatch.setattr(installation.pwd, "getpwnam", lambda _: None)
    monkeypatch.setattr(installation, "service_user", lambda name: ServiceUser(name, 999, 999, switched=True))
    monkeypatch.setattr(installation.interpreter, "can_use_ours", lambda _: True)
    return made


def _fresh_lists(machine: Machine) -> None:
    (machine.directory / "lists" / "partial").mkdir(parents=True)
    (machine.directory / "lists" / "mirror_main_binary-amd64_Packages.lz4").touch()


def test_nothing_is_run_when_nothing_is_missing(machine: Machine) -> None:
    machine.missing.clear()
    notes: list[str] = []
    installation.install(notes.append)
    assert machine.commands == notes == []


def test_missing_packages_are_installed_without_starting_services(machine: Machine) -> None:
    notes: list[str] = []
    installation.install(notes.append)
    assert machine.words() == ["update", "install", "disable"]
    install = machine.commands[1]
    assert install[-3:] == ["nginx", "postgresql", "redis-tools"]
    assert {"--yes", "--no-install-recommends"} <= set(install)
    assert machine.environments[1]["DEBIAN_FRONTEND"] == "noninteractive"
    assert machine.policies[1] == (True, True), "services must be denied while packages are installed"
    assert machine.commands[2][-1:] == ["nginx.service"]
    assert not machine.policy.exists()
    assert not machine.cluster.exists()
    assert notes == ["updating the list of packages", "installing nginx postgresql redis-tools"]


def test_fresh_lists_are_not_updated(machine: Machine) -> None:
    _fresh_lists(machine)
    installation.install(lambda _: None)
    assert machine.words() == ["install", "disable"]


def test_lists_that_name_replaced_versions_are_updated_once(machine: Machine) -> None:
    _fresh_lists(machine)
    machine.failing = {"install": 1}
    installation.install(lambda _: None)
    assert machine.words() == ["install", "update", "install", "disable"]


def test_an_unreachable_mirror_is_an_error_and_leaves_no_policy(machine: Machine) -> None:
    machine.failing = {"install": 9}
    with pytest.raises(ToolError) as caught:
        installation.install(lambda _: None)
    assert caught.value.id == "apt-failed"
    assert caught.value.details == ("E: Unable to fetch some archives",)
    assert not machine.policy.exists()
    assert not machine.cluster.exists()


def test_the_machines_own_policy_is_left_alone(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 104\n")
    installation.install(lambda _: None)
    assert machine.policy.read_text() == "#!/bin/sh\nexit 104\n"


def test_the_policy_denies_only_while_its_writer_lives(machine: Machine) -> None:
    with installation._services_stay_off():
        script = machine.policy.read_text()
        assert subprocess.run([machine.policy], check=False).returncode == 101
    # As left behind by a run that was killed: it allows, and the next run takes it for its own.
    ended = subprocess.Popen(["true"])
    ended.wait()
    machine.policy.write_text(script.replace(f"kill -0 {installation.os.getpid()}", f"kill -0 {ended.pid}"))
    machine.policy.chmod(0o755)
    assert subprocess.run([machine.policy], check=False).returncode == 0
    with installation._services_stay_off():
        assert subprocess.run([machine.policy], check=False).returncode == 101
    assert not machine.policy.exists()


def test_an_ordinary_user_gets_the_one_command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation.os, "geteuid", lambda: 1000)
    with pytest.raises(ToolError) as caught:
        installation.install(lambda _: None)
    assert caught.value.exit_code == ExitCode.TOOL
    assert "nginx, postgresql, redis-tools" in caught.value.message
    assert "sudo " in (caught.value.hint or "")
    assert "-m renecinfra doctor --install" in (caught.value.hint or "")
    assert machine.commands == []


def test_the_service_user_is_made_without_home_or_login(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise KeyError(name)

    machine.missing.clear()
    monkeypatch.setattr(installation.pwd, "getpwnam", absent)
    installation.install(lambda _: None, user="someone")
    (argv,) = machine.commands
    assert argv[0] == "useradd"
    assert argv[-1] == "someone"
    assert {"--system", "--no-create-home", "/usr/sbin/nologin"} <= set(argv)


def test_the_services_python_is_built_when_ours_is_closed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    machine.missing.clear()
    monkeypatch.setattr(installation.interpreter, "can_use_ours", lambda _: False)
    monkeypatch.setattr(installation.interpreter, "check_system_python", lambda: None)
    monkeypatch.setattr(installation.interpreter, "system_venv_present", lambda: False)
    monkeypatch.setattr(installation.interpreter, "build", lambda _: built.append("built"))
    installation.install(lambda _: None)
    assert machine.commands[1][-1] == "python3-venv"
    assert built == ["built"]


def test_a_machine_without_apt_is_told_what_to_install(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation.shutil, "which", lambda _: None)
    with pytest.raises(ToolError) as caught:
        installation.install(lambda _: None)
    assert caught.value.id == "apt-missing"
    assert "nginx postgresql redis-tools" in (caught.value.hint or "")
