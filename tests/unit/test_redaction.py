from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renecinfra.redaction import Redactor
from renecinfra.sensitive import REDACTED, Secret

VALUE = 's3cr&t "p/ss" ñ'


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.register(Secret(VALUE))
    return redactor


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_every_form_is_hidden_and_counted(redactor: Redactor, form: str) -> None:
    shown = redactor(f"password={form}; twice {form}")

    assert REDACTED in shown
    assert form.rstrip("=") not in shown
    assert redactor.hidden == 2


@pytest.mark.parametrize("user", ["a", "ab", "abc"])
def test_inside_a_basic_header(redactor: Redactor, user: str) -> None:
    header = base64.b64encode(f"{user}:{VALUE}:tail".encode()).decode()

    hidden = redactor(f"Authorization: Basic {header}")

    assert REDACTED in hidden
    assert VALUE.encode() not in base64.b64decode(
        hidden.split()[-1].replace(REDACTED, "") + "==", validate=False
    )


def test_each_line_of_a_key_is_hidden(redactor: Redactor) -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
    redactor.register(Secret(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))

    assert redactor(f"  {body}") == f"  {REDACTED}"
    assert redactor("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_a_longer_secret_is_hidden_whole(redactor: Redactor) -> None:
    redactor.register(Secret(VALUE + "-and-more"))

    assert redactor(VALUE + "-and-more") == REDACTED


def test_a_value_too_short_to_look_for_leaves_text_alone(redactor: Redactor) -> None:
    redactor.register(Secret("a"))

    assert redactor("a banana") == "a banana"
    assert redactor.hidden == 0


def test_nothing_registered_changes_nothing() -> None:
    assert Redactor()("anything") == "anything"


def test_its_repr_shows_no_secret(redactor: Redactor) -> None:
    assert VALUE not in repr(redactor)


@settings(database=None, deadline=None)
@given(st.text(min_size=4, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_registered_value_survives(value: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(Secret(value))

    # What remains between two marks was not in one piece before, so take the marks as separators.
    for piece in redactor(before + value + after).split(REDACTED):
        assert value not in piece
