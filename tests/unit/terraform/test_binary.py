from __future__ import annotations

import os
from pathlib import Path

import pytest

from renecinfra.errors import ToolError
from renecinfra.terraform import embedded
from renecinfra.terraform.binary import find_terraform
from renecinfra.terraform.environment import terraform_environment

TERRAFORM = "Terraform v1.11.4\non linux_amd64"


class Programs:
    """A PATH with made-up programs on it, each counting how often it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.environ = {"PATH": str(root)}

    def add(self, name: str, says: str, code: int = 0) -> Path:
        program = self.root / name
        program.write_text(
            f"#!/bin/sh\necho asked >>'{self.root}/asked'\nprintf '%s' '{says}'\nexit {code}\n"
        )
        program.chmod(0o755)
        return program

    @property
    def asked(self) -> int:
        log = self.root / "asked"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def path(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


def test_terraform_comes_before_tofu(path: Programs) -> None:
    program = path.add("terraform", TERRAFORM)
    path.add("tofu", "OpenTofu v1.8.2")

    binary = find_terraform(path.environ)

    assert (binary.argv, binary.version, binary.flavour) == ((str(program),), "1.11.4", "terraform")


def test_tofu_alone(path: Programs) -> None:
    path.add("tofu", "OpenTofu v1.8.2-beta1")

    binary = find_terraform(path.environ)

    assert (binary.version, binary.flavour) == ("1.8.2-beta1", "opentofu")


@pytest.mark.parametrize("by_path", [True, False])
def test_a_named_one_comes_first(path: Programs, by_path: bool) -> None:
    path.add("terraform", TERRAFORM)
    mine = path.add("mine", "Terraform v1.9.0")

    binary = find_terraform({**path.environ, "RENECINFRA_TERRAFORM": str(mine) if by_path else "mine"})

    assert binary.argv == (str(mine),)


@pytest.mark.parametrize("name", ["no-such", "/no/such"])
def test_a_named_one_that_is_not_there(path: Programs, name: str) -> None:
    path.add("terraform", TERRAFORM)
    with pytest.raises(ToolError, match=name) as caught:
        find_terraform({**path.environ, "RENECINFRA_TERRAFORM": name})

    assert caught.value.id == "terraform-missing"


@pytest.mark.parametrize("version", ["1.4.7", "0.15.5"])
def test_one_that_is_too_old_is_refused_not_passed_over(path: Programs, version: str) -> None:
    path.add("terraform", f"Terraform v{version}")
    path.add("tofu", "OpenTofu v1.8.2")
    with pytest.raises(ToolError, match=r"1\.5 or newer") as caught:
        find_terraform(path.environ)

    assert caught.value.id == "terraform-too-old"


def test_a_later_major_version_is_new_enough(path: Programs) -> None:
    path.add("terraform", "Terraform v2.0.0")

    assert find_terraform(path.environ).version == "2.0.0"


def test_something_else_by_that_name(path: Programs) -> None:
    path.add("terraform", "command not implemented", code=1)
    with pytest.raises(ToolError) as caught:
        find_terraform(path.environ)

    assert caught.value.id == "terraform-unknown"
    assert caught.value.details == ("command not implemented",)


def test_none_at_all(path: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "library", lambda: None)
    with pytest.raises(ToolError, match="there is no terraform"):
        find_terraform(path.environ)


def test_a_known_version_is_not_asked_again(path: Programs, tmp_path: Path) -> None:
    cache = tmp_path / "state" / "terraform.json"
    program = path.add("terraform", TERRAFORM)
    first = find_terraform(path.environ, cache)

    assert find_terraform(path.environ, cache) == first
    assert path.asked == 1

    program.write_text(program.read_text().replace("1.11.4", "1.12.0 "))
    os.utime(program, ns=(0, 0))
    assert find_terraform(path.environ, cache).version == "1.12.0"
    assert path.asked == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"product": "x"}', '{"product": "Terraform"}'])
def test_a_broken_cache_is_not_believed(path: Programs, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "terraform.json"
    cache.write_text(content)
    path.add("terraform", TERRAFORM)

    assert find_terraform(path.environ, cache).version == "1.11.4"


def test_the_environment_is_the_callers_for_automation() -> None:
    environment = terraform_environment({"PATH": "/bin", "AWS_PROFILE": "x", "TF_VAR_a": "1"})

    assert environment.variables == {
        "PATH": "/bin",
        "AWS_PROFILE": "x",
        "TF_VAR_a": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }
    assert environment.notes == ()


@pytest.mark.parametrize("name", ["TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_WORKSPACE", "TF_DATA_DIR"])
def test_what_would_steer_it_elsewhere_is_left_out_and_said(name: str) -> None:
    environment = terraform_environment({name: "x"})

    assert name not in environment.variables
    assert [name in note for note in environment.notes] == [True]


def test_a_cli_configuration_is_kept_when_it_is_there(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.touch()
    kept = terraform_environment({"TF_CLI_CONFIG_FILE": str(there)})
    replaced = terraform_environment({"TF_CLI_CONFIG_FILE": str(gone)})

    assert (kept.variables["TF_CLI_CONFIG_FILE"], kept.notes) == (str(there), ())
    assert replaced.variables["TF_CLI_CONFIG_FILE"] == os.devnull
    assert str(gone) in replaced.notes[0]
