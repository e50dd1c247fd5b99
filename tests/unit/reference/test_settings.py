"""The environment is checked at start, and what is wrong is named without its value."""

from __future__ import annotations

import pytest

from renecinfra.reference import settings

GOOD = {"DATABASE_URL": "postgresql://u:hunter2@h/d", "REDIS_URL": "redis://:hunter2@h/0"}


def test_defaults_are_the_applications() -> None:
    read = settings.read(GOOD)
    assert (read.pool_size, read.max_overflow, read.max_concurrent_requests) == (20, 0, 5)
    assert (read.download_delay, read.respect_robots_txt, read.first_harvest) == (1.0, True, False)
    assert read.cache_url == read.redis_url
    assert (read.metrics_port, read.api_keys) == (None, ())


def test_what_holds_a_password_is_not_shown() -> None:
    read = settings.read({**GOOD, "RENEC_API_KEY": "sesame-open-hunter2"})
    assert "hunter2" not in repr(read)


def test_keys_are_gathered_from_both_variables() -> None:
    one, two = "a" * 16, "b" * 16
    read = settings.read({**GOOD, "RENEC_API_KEY": one, "RENEC_API_KEYS": f"{two}, {one},"})
    assert read.api_keys == (one, two)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("DATABASE_URL", "mysql://h/d", "begins with postgresql"),
        ("DATABASE_URL", "postgresql://h:x/d", "is not a URL"),
        ("REDIS_URL", "http://h", "begins with redis"),
        ("DATABASE_POOL_SIZE", "0", "from 1 to 1000"),
        ("DATABASE_POOL_SIZE", "²", "from 1 to 1000"),
        ("MAX_CONCURRENT_REQUESTS", "11", "from 1 to 10"),
        ("DOWNLOAD_DELAY", "nan", "seconds"),
        ("DOWNLOAD_DELAY", "-1", "seconds"),
        ("DOWNLOAD_DELAY", "soon", "seconds"),
        ("RESPECT_ROBOTS_TXT", "maybe", "neither true nor false"),
        ("LOG_LEVEL", "LOUD", "none of"),
        ("PROMETHEUS_METRICS_PORT", "65536", "from 1 to 65535"),
        ("RENEC_API_KEY", "short", "public key or one below"),
        ("ENABLE_RATE_LIMITING", "true", "no limiter"),
        ("RENEC_BASE_URL", "ftp://site", "begins with http"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(settings.SettingsError, match=message) as caught:
        settings.read({**GOOD, name: value})
    assert str(caught.value).startswith(name)
    assert "hunter2" not in str(caught.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.read({"DOWNLOAD_DELAY": "x"})
    assert [part.split()[0] for part in str(caught.value).split("; ")] == [
        "DATABASE_URL", "REDIS_URL", "CACHE_URL", "DOWNLOAD_DELAY",
    ]  # fmt: skip


def test_a_process_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RENEC_API_KEY", "RENEC_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert settings.load().redis_url == GOOD["REDIS_URL"]
    with pytest.raises(SystemExit) as caught:
        settings.load(api=True)
    assert caught.value.code == 64
    assert capsys.readouterr().err == "error[environment]: RENEC_API_KEY is not set\n"
