"""The order of a rotation, and what is left when a step of it fails."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from renecinfra.errors import DeclinedError, InterruptedRunError, RenecError, SecretsError, ToolError
from renecinfra.provision import rotating
from renecinfra.reporting import SilentReporter
from renecinfra.secrets.store import SecretVersion
from renecinfra.sensitive import Secret

REFERENCE = "generated:database_password"


class Store:
    """One secret, and what was written of it."""

    def __init__(self) -> None:
        self.value, self.version = Secret("the first"), 7
        self.refuse_from = 99

    def put(self, reference: str, value: Secret, cas: int | None = None) -> int:
        if cas != self.version or self.version + 1 >= self.refuse_from:
            raise SecretsError("secret-changed", "another version is current")
        self.value, self.version = value, self.version + 1
        return self.version


@pytest.fixture
def steps() -> list[str]:
    return []


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def session(steps: list[str]) -> Any:
    @contextmanager
    def locked(command: str, argv: Any) -> Any:
        yield SimpleNamespace(step=lambda name: steps.append(name) or nullcontext())

    profile = SimpleNamespace(
        environment="test",
        database=SimpleNamespace(password=REFERENCE),
        cache=SimpleNamespace(password=""),
        backups=SimpleNamespace(enabled=False, passphrase=""),
        workloads=SimpleNamespace(api=SimpleNamespace(key="")),
    )
    environment = SimpleNamespace(host=None)
    return SimpleNamespace(
        name="test", profile=profile, environment=environment, locked=locked, reporter=SilentReporter()
    )


@pytest.fixture(autouse=True)
def platform(monkeypatch: pytest.MonkeyPatch, store: Store) -> dict[str, Any]:
    """What the steps do; an error put here is raised by the step of its name."""
    errors: dict[str, Any] = {}

    def step(name: str, result: Any) -> Any:
        def run(*_: Any) -> Any:
            if error := errors.pop(name, None):
                raise error
            return result() if callable(result) else result

        return run

    plan = SimpleNamespace(secrets={})
    current = step("current", lambda: {REFERENCE: SecretVersion(store.value, store.version)})
    monkeypatch.setattr(rotating, "require_current", current)
    monkeypatch.setattr(rotating, "_roll", step("roll", (plan, ("api-1", "api-2"))))
    monkeypatch.setattr(rotating, "_prove", step("prove", None))
    monkeypatch.setattr(rotating, "_retire", step("retire", None))
    monkeypatch.setattr(rotating, "verify", step("verify", ()))
    monkeypatch.setattr(rotating.rotation, "retire", step("retire", None))
    monkeypatch.setattr(rotating.retirement, "done", step("done", None))
    return errors


def run(session: Any, store: Store, confirm: Any = lambda reference, version: None) -> Any:
    return rotating.rotate(session, store, REFERENCE, confirm, ["secrets"])


def test_proof_comes_before_the_end_of_the_old_value(session: Any, store: Store, steps: list[str]) -> None:
    done = run(session, store)
    assert steps == ["plan", "write", "roll", "prove", "retire"]
    assert (done.before, done.after, done.restarted) == (7, 8, ("api-1", "api-2"))
    assert store.value.reveal() != "the first"
    assert "the first" not in str(done.document())


@pytest.mark.parametrize("name", ["roll", "prove"])
def test_what_fails_makes_the_old_value_current_again(
    session: Any, store: Store, steps: list[str], platform: dict[str, Any], name: str
) -> None:
    platform[name] = ToolError("broken", "it is broken", hint="mend it")
    with pytest.raises(ToolError) as caught:
        run(session, store)
    assert steps[-1] == "undo"
    assert (store.value.reveal(), store.version) == ("the first", 9)
    assert "version 9 has the old value again" in (caught.value.hint or "")
    assert "mend it" in (caught.value.hint or "")


def test_going_back_may_fail_too_and_both_errors_are_told(
    session: Any, store: Store, platform: dict[str, Any]
) -> None:
    platform["prove"] = ToolError("broken", "it is broken")
    store.refuse_from = 9
    with pytest.raises(ToolError) as caught:
        run(session, store)
    assert caught.value.message == "it is broken"
    assert "going back failed as well: another version is current" in caught.value.details
    assert "renecinfra up test" in (caught.value.hint or "")


def test_interrupted_it_goes_no_further_in_either_direction(
    session: Any, store: Store, steps: list[str], platform: dict[str, Any]
) -> None:
    platform["roll"] = InterruptedRunError("interrupted", "terraform was interrupted")
    with pytest.raises(InterruptedRunError) as caught:
        run(session, store)
    assert steps[-1] == "roll"
    assert store.version == 8
    assert "both valid" in (caught.value.hint or "")


@pytest.mark.parametrize("where", ["current", "confirm", "put"])
def test_until_the_new_value_is_written_nothing_happens(
    session: Any, store: Store, steps: list[str], platform: dict[str, Any], where: str
) -> None:
    def decline(reference: str, version: int) -> None:
        assert (reference, version) == (REFERENCE, 8)
        raise DeclinedError("declined", "no")

    if where == "current":
        platform["current"] = ToolError("environment-not-current", "it is not")
    if where == "put":
        store.refuse_from = 8
    with pytest.raises(RenecError):
        run(session, store, decline if where == "confirm" else lambda reference, version: None)
    assert store.version == 7
    assert set(steps) <= {"plan", "write"}
