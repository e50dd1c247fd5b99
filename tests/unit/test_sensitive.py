"""A Secret shows itself nowhere but where it is asked to."""

import json
import pickle

import pytest

from renecinfra.sensitive import Secret


def test_it_prints_as_redacted_everywhere():
    secret = Secret("hunter22")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", repr([secret]), repr({"a": secret})]
    assert not any("hunter22" in text for text in shown)
    assert secret.reveal() == "hunter22"


def test_it_reaches_no_disk_by_accident():
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter22"))
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter22"))


def test_equal_values_are_equal():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") != "a"
