"""Terraform's commands for one stack. The only importer of python_terraform.

python-terraform builds the command lines; ``process`` runs them, because the package's own way of running
waits for all output, leaves SIGINT to chance and logs variables. No value is ever passed by ``-var``: the
stack's own ``*.auto.tfvars`` and TF_VAR_* of the environment are what it reads.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from renecinfra.errors import TerraformError
from renecinfra.process import run, stream
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret
from renecinfra.terraform import initialised
from renecinfra.terraform.binary import TerraformBinary
from renecinfra.terraform.diagnostics import Diagnostic, error_from, parse_text
from renecinfra.terraform.environment import terraform_environment
from renecinfra.terraform.events import OUTPUT, TerraformEvent, parse_event
from renecinfra.terraform.plan import Plan, parse_plan

OnEvent = Callable[[TerraformEvent], None]
OnCommand = Callable[[Sequence[str]], None]

_CHANGES: Final = 2  # of -detailed-exitcode
_TAIL_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class StateResource:
    """A resource in the state; ``tainted`` means that the next apply replaces it.

    ``resource_id`` is the attribute of this name, for types of AWS whose identifier can change; else empty.
    """

    address: str
    type: str
    tainted: bool
    resource_id: str = ""


class Terraform:
    """One stack: a directory with its HCL, and the Terraform that works on it.

    Every method raises TerraformError for what Terraform reports, with its summary, detail, address and
    place; StateLockedError when another run holds the state; InterruptedRunError after Ctrl-C or SIGTERM,
    when Terraform has got its one SIGINT and has ended.
    """

    def __init__(
        self,
        binary: TerraformBinary,
        directory: Path,
        *,
        environ: Mapping[str, str],
        on_command: OnCommand | None = None,
        on_note: Callable[[str], None] | None = None,
        pass_fds: Sequence[int] = (),
        parallelism: int | None = None,
        lock_timeout: timedelta | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            binary: from ``find_terraform``.
            directory: the stack.
            environ: the environment that Terraform gets, cleaned of what would steer it elsewhere.
            on_command: told each command line before it runs.
            on_note: told what was left out of the environment, and that an interrupt is being waited for.
            pass_fds: descriptors that Terraform keeps open while it runs (the environment's lock).
            parallelism: how many resources it works on side by side; its own number if None.
            lock_timeout: how long it waits for the state's lock; it does not if None.
        """
        self._binary = binary
        self._directory = directory
        self._on_command = on_command or (lambda _argv: None)
        self._on_note = on_note or (lambda _text: None)
        self._pass_fds = pass_fds
        seconds = int(lock_timeout.total_seconds()) if lock_timeout is not None else None
        self._locking: dict[str, object] = {"lock_timeout": f"{seconds}s"} if seconds else {}
        self._working = {**self._locking, **({"parallelism": parallelism} if parallelism else {})}
        environment = terraform_environment(environ)
        self._environ = environment.variables
        for note in environment.notes:
            self._on_note(note)

    def init(self) -> bool:
        """Prepare the stack, unless it already is for these very files; whether there was something to do."""
        if initialised.is_current(self._directory, self._binary):
            return False
        initialised.forget(self._directory)
        command = self._argv("init", input=False, no_color=True)
        output: list[str] = []
        self._on_command(command)
        code = self._stream(command, output.append)
        if code != 0:
            raise self._error("init", command, parse_text("\n".join(output)), output)
        initialised.remember(self._directory, self._binary)
        return True

    def validate(self) -> list[Diagnostic]:
        """Check the configuration without state or providers' APIs; returns the warnings."""
        command = self._argv("validate", json=True)
        output, errors, _ = self._capture(command)
        diagnostics = _diagnostics(output)
        if diagnostics is None:
            raise self._error("validate", command, parse_text(errors), (output + errors).splitlines())
        if any(diagnostic.severity == "error" for diagnostic in diagnostics):
            raise self._error("validate", command, diagnostics, ())
        return diagnostics

    def plan(
        self,
        out: Path,
        *,
        destroy: bool = False,
        replace: Sequence[str] = (),
        targets: Sequence[str] = (),
        refresh_only: bool = False,
        on_event: OnEvent | None = None,
    ) -> bool:
        """Plan, and save the plan to ``out``; whether it changes anything.

        Args:
            out: the plan file, replaced; 0600, because it holds sensitive values.
            destroy: plan the end of everything.
            replace: addresses to replace although they did not change.
            targets: plan for these addresses, and what they need, alone.
            refresh_only: plan nothing but taking over into the state what changed outside.
            on_event: told each event as it comes.
        """
        out.unlink(missing_ok=True)
        # Terraform keeps the mode of a file that is there, and makes its own world-readable.
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        command = self._argv(
            "plan",
            json=True,
            input=False,
            detailed_exitcode=True,
            out=str(out.absolute()),
            destroy=destroy,
            refresh_only=refresh_only,
            replace=list(replace),
            target=list(targets),
            **self._working,
        )
        try:
            code = self._stream_events("plan", command, on_event, (0, _CHANGES))
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        return code == _CHANGES

    def show(self, plan_file: Path) -> Plan:
        """A saved plan as data."""
        return parse_plan(self._json("show", str(plan_file.absolute())))

    def apply(self, plan_file: Path, on_event: OnEvent | None = None) -> None:
        """Apply a saved plan, and nothing else."""
        command = self._argv("apply", str(plan_file.absolute()), json=True, input=False, **self._working)
        self._stream_events("apply", command, on_event, (0,))

    def outputs(self) -> Mapping[str, Any]:
        """The stack's outputs by name; a sensitive one is a Secret (of JSON, where it is not a string)."""
        return {name: _output(data) for name, data in self._json("output").items()}

    def state_resources(self) -> list[StateResource]:
        """What the state holds, in address order; empty where there is no state yet."""
        values = self._json("show").get("values") or {}
        return sorted(_resources(values.get("root_module") or {}), key=lambda resource: resource.address)

    def force_unlock(self, lock_id: str) -> None:
        """Remove the state's lock, if it is the one with this id: for when its holder is dead for certain."""
        command = self._argv("force-unlock", lock_id, force=True, no_color=True)
        output, errors, code = self._capture(command)
        if code != 0:
            raise self._error("force-unlock", command, parse_text(errors), (output + errors).splitlines())

    def push_state(self, file: Path) -> None:
        """Make the state of a file the current one, under the state's lock; its serial must be the next."""
        self._plainly("state push", str(file.absolute()))

    def forget(self, addresses: Sequence[str]) -> None:
        """Take resources out of the state; what they stand for stays as it is."""
        if addresses:
            self._plainly("state rm", *addresses)

    def _plainly(self, name: str, *arguments: str, **options: object) -> None:
        command = self._argv(name, *arguments, no_color=True, **options, **self._locking)
        output, errors, code = self._capture(command)
        if code != 0:
            raise self._error(name, command, parse_text(errors), (output + errors).splitlines())

    def format_check(self) -> list[str]:
        """The stack's files that ``terraform fmt`` would change."""
        command = self._argv("fmt", check=True, recursive=True, no_color=True)
        output, errors, code = self._capture(command)
        if code not in (0, 3):  # 3: some are not formatted
            raise self._error("fmt", command, parse_text(errors), errors.splitlines())
        return output.split()

    def _argv(self, command: str, *arguments: str, **options: object) -> list[str]:
        """The command line, built by python-terraform from explicit options alone; False means left out."""
        from python_terraform import IsFlagged
        from python_terraform import Terraform as Builder

        # It logs what it is given.
        logging.getLogger("python_terraform").setLevel(logging.CRITICAL)
        flags: dict[str, object] = {}
        for name, value in options.items():
            if name == "input":
                flags[name] = value  # the one that is spelt out: -input=false
            elif value is not False:
                flags[name] = IsFlagged if value is True else value
        # The builder reads a state file when it is made; a name that does not exist keeps it from doing so.
        builder = Builder(working_dir=str(self._directory), state=f"{initialised.DATA}/none")
        return [*self._binary.argv, *builder.generate_cmd_string(command, *arguments, **flags)[1:]]

    def _stream(self, command: Sequence[str], on_line: Callable[[str], None]) -> int:
        return stream(
            command,
            name="terraform",
            on_line=on_line,
            env=self._environ,
            cwd=self._directory,
            on_interrupt=lambda: self._on_note("Terraform was asked to stop; it finishes what it is doing"),
            pass_fds=self._pass_fds,
        )

    def _stream_events(
        self, name: str, command: Sequence[str], on_event: OnEvent | None, expected: Sequence[int]
    ) -> int:
        diagnostics: list[Diagnostic] = []
        output: list[str] = []

        def take(line: str) -> None:
            event = parse_event(line)
            if event.diagnostic is not None:
                diagnostics.append(event.diagnostic)
            elif event.kind == OUTPUT:
                output.append(line)
            if on_event is not None:
                on_event(event)

        self._on_command(command)
        code = self._stream(command, take)
        if code not in expected:
            raise self._error(name, command, diagnostics or parse_text("\n".join(output)), output)
        return code

    def _capture(self, command: Sequence[str]) -> tuple[str, str, int]:
        self._on_command(command)
        # Unredacted, because it is parsed: what is sensitive in it is marked so, and masked by the parsers.
        done = run(command, env=self._environ, cwd=self._directory, check=False, redact=False)
        return done.stdout, done.stderr, done.returncode

    def _json(self, name: str, *arguments: str) -> dict[str, Any]:
        command = self._argv(name, *arguments, json=True)
        output, errors, code = self._capture(command)
        if code != 0:
            raise self._error(name, command, parse_text(errors), errors.splitlines())
        try:
            document = json.loads(output)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise TerraformError(
                "terraform-output",
                f"terraform {name} did not print the JSON that was asked for",
                hint=f"to repeat it: {self._repeat(command)}",
            )
        return document

    def _repeat(self, command: Sequence[str]) -> str:
        return redactor(f"cd {shlex.quote(str(self._directory))} && {shlex.join(command)}")

    def _error(
        self, name: str, command: Sequence[str], diagnostics: Sequence[Diagnostic], output: Sequence[str]
    ) -> Exception:
        tail = [redactor(line) for line in output[-_TAIL_LINES:]]
        return error_from(diagnostics, name, self._directory, self._repeat(command), tail)


def _diagnostics(output: str) -> list[Diagnostic] | None:
    """The diagnostics of ``validate -json``; None where it printed something else."""
    try:
        return [Diagnostic.parse(data) for data in json.loads(output)["diagnostics"]]
    except (ValueError, LookupError, TypeError):
        return None


def _output(data: Mapping[str, Any]) -> Any:
    value = data.get("value")
    if not data.get("sensitive"):
        return value
    secret = Secret(value if isinstance(value, str) else json.dumps(value))
    redactor.register(secret)
    return secret


def _resources(module: Mapping[str, Any]) -> list[StateResource]:
    found = [
        StateResource(
            str(resource["address"]),
            str(resource["type"]),
            bool(resource.get("tainted")),
            str((resource.get("values") or {}).get("resource_id") or ""),
        )
        for resource in module.get("resources") or ()
        if resource.get("mode") == "managed"
    ]
    for child in module.get("child_modules") or ():
        found += _resources(child)
    return found
