"""Command lines and parsing, with a program that answers as Terraform would."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from renecinfra.errors import TerraformError
from renecinfra.sensitive import Secret
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import TerraformBinary


class Fake:
    """A stack whose Terraform prints what it is told to, and the command lines that it was given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "stack"
        self.directory.mkdir()
        self.program = directory / "terraform"
        self.commands: list[Sequence[str]] = []
        self.answer("{}")

    def answer(self, text: str, code: int = 0, errors: str = "") -> None:
        for name, content in (("out", text), ("err", errors)):
            self.program.with_suffix(f".{name}").write_text(content)
        self.program.write_text(f'#!/bin/sh\ncat "$0.out"\ncat "$0.err" >&2\nexit {code}\n')
        self.program.chmod(0o755)

    @property
    def terraform(self) -> Terraform:
        return Terraform(
            TerraformBinary((str(self.program),), "1.11.4", "terraform"),
            self.directory,
            environ={"PATH": os.environ["PATH"]},
            on_command=self.commands.append,
        )

    @property
    def last(self) -> list[str]:
        program, *arguments = self.commands[-1]
        assert program == str(self.program)
        return arguments


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def test_init(fake: Fake) -> None:
    fake.terraform.init()

    assert fake.last == ["init", "-input=false", "-no-color"]


def test_plan(fake: Fake) -> None:
    out = fake.directory / "plan"
    fake.terraform.plan(out)

    assert fake.last == ["plan", "-json", "-input=false", "-detailed-exitcode", f"-out={out}"]


def test_every_kind_of_plan(fake: Fake) -> None:
    out = fake.directory / "plan"
    fake.terraform.plan(out, destroy=True)
    assert fake.last[-1] == "-destroy"
    fake.terraform.plan(out, refresh_only=True)
    assert fake.last[-1] == "-refresh-only"
    fake.terraform.plan(out, replace=['a.b["c d"]', "e.f"])
    assert fake.last[-2:] == ['-replace=a.b["c d"]', "-replace=e.f"]


def test_apply_is_of_the_saved_plan_alone(fake: Fake) -> None:
    fake.terraform.apply(fake.directory / "plan")

    assert fake.last == ["apply", "-json", "-input=false", str(fake.directory / "plan")]


def test_a_plan_file_is_replaced_and_nobody_elses_to_read(fake: Fake) -> None:
    out = fake.directory / "plan"
    out.write_text("old")
    out.chmod(0o644)
    fake.terraform.plan(out)

    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text() == ""


def test_a_failed_plan_leaves_no_file(fake: Fake) -> None:
    fake.answer("panic: oh no", code=1)
    with pytest.raises(TerraformError, match="did not say why") as caught:
        fake.terraform.plan(fake.directory / "plan")

    assert caught.value.details == ("panic: oh no",)
    assert not (fake.directory / "plan").exists()


def test_a_sensitive_output_is_a_secret_whatever_its_type(fake: Fake) -> None:
    fake.answer('{"a": {"value": ["x", 1], "sensitive": true}, "b": {"value": {"y": 2}}}')
    outputs = fake.terraform.outputs()

    assert isinstance(outputs["a"], Secret)
    assert outputs["a"].reveal() == '["x", 1]'
    assert outputs["b"] == {"y": 2}


def test_the_state_with_modules_and_data(fake: Fake) -> None:
    fake.answer(
        """{"values": {"root_module": {
            "resources": [
                {"address": "a.z", "type": "a", "mode": "managed", "tainted": true},
                {"address": "data.a.b", "type": "a", "mode": "data"}],
            "child_modules": [{"resources": [
                {"address": "module.m.a.b", "type": "a", "mode": "managed"}]}]}}}"""
    )

    resources = fake.terraform.state_resources()
    assert [(r.address, r.tainted) for r in resources] == [("a.z", True), ("module.m.a.b", False)]


@pytest.mark.parametrize("text", ["", "not json", "[]"])
def test_output_that_is_not_what_was_asked_for(fake: Fake, text: str) -> None:
    fake.answer(text)
    with pytest.raises(TerraformError) as caught:
        fake.terraform.outputs()

    assert caught.value.id == "terraform-output"


def test_warnings_of_a_valid_configuration(fake: Fake) -> None:
    fake.answer('{"valid": true, "diagnostics": [{"severity": "warning", "summary": "Old"}]}')

    assert [warning.summary for warning in fake.terraform.validate()] == ["Old"]


def test_a_validation_that_broke(fake: Fake) -> None:
    fake.answer("", code=1, errors="╷\n│ Error: No such thing\n│ \n│ Because.\n╵\n")
    with pytest.raises(TerraformError, match="No such thing") as caught:
        fake.terraform.validate()

    assert caught.value.details == ("Because.",)


def test_a_module_that_changed_is_initialised_again(fake: Fake) -> None:
    module = fake.directory.parent / "module"
    module.mkdir()
    (module / "main.tf").write_text("# one")
    modules = fake.directory / ".terraform" / "modules"
    modules.mkdir(parents=True)
    (modules / "modules.json").write_text(
        '{"Modules": [{"Key": "", "Dir": "."}, {"Key": "m", "Dir": "../module"}]}'
    )

    assert fake.terraform.init() is True
    assert fake.terraform.init() is False
    (module / "main.tf").write_text("# two")
    assert fake.terraform.init() is True
