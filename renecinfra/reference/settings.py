"""The environment variables that the reference workload reads, checked once at start."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

USAGE: Final = 64
"""What a process exits with when its environment is wrong (EX_USAGE of sysexits.h)."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Public in the application's repository: an environment that uses it is open to everybody.
_PUBLIC_KEYS = frozenset({"your-api-key", "changeme", "default", "test-api-key"})
_KEY_LENGTH_MIN = 16

_T = TypeVar("_T")


class SettingsError(ValueError):
    """What is wrong with the environment; names variables, never their values."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The workload's settings. What holds a password or key is left out of ``repr``.

    ``download_delay`` is in seconds between the starts of two requests.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    cache_url: str = field(repr=False)
    api_keys: tuple[str, ...] = field(repr=False)
    environment: str
    log_level: str
    pool_size: int
    max_overflow: int
    max_concurrent_requests: int
    download_delay: float
    respect_robots_txt: bool
    user_agent: str
    base_url: str
    metrics_port: int | None
    first_harvest: bool


def read(environ: Mapping[str, str]) -> Settings:
    """The settings in ``environ``; what is absent has the application's own default.

    Raises:
        SettingsError: variables are missing or wrong; all of them are named.
    """
    reader = _Reader(environ)
    settings = Settings(
        database_url=reader.url("DATABASE_URL", ("postgresql", "postgres")),
        redis_url=reader.url("REDIS_URL", ("redis", "rediss", "unix")),
        cache_url=reader.url("CACHE_URL", ("redis", "rediss", "unix"), default=environ.get("REDIS_URL", "")),
        api_keys=reader.keys(),
        environment=environ.get("ENVIRONMENT", "development"),
        log_level=reader.parsed("LOG_LEVEL", "INFO", _level),
        pool_size=reader.parsed("DATABASE_POOL_SIZE", "20", _integer(1, 1000)),
        max_overflow=reader.parsed("DATABASE_MAX_OVERFLOW", "0", _integer(0, 1000)),
        max_concurrent_requests=reader.parsed("MAX_CONCURRENT_REQUESTS", "5", _integer(1, 10)),
        download_delay=reader.parsed("DOWNLOAD_DELAY", "1.0", _seconds),
        respect_robots_txt=reader.parsed("RESPECT_ROBOTS_TXT", "true", _boolean),
        user_agent=environ.get("USER_AGENT", "renec-harvester"),
        base_url=reader.url("RENEC_BASE_URL", ("http", "https"), default="https://conocer.gob.mx").rstrip(
            "/"
        ),
        metrics_port=reader.parsed("PROMETHEUS_METRICS_PORT", "", _optional_port),
        first_harvest=reader.parsed("RENEC_FIRST_HARVEST", "0", _boolean),
    )
    # The edge limits per client; this one would see the edge as its only client.
    if reader.parsed("ENABLE_RATE_LIMITING", "false", _boolean):
        reader.problems.append("ENABLE_RATE_LIMITING is on, but the reference API has no limiter")
    if reader.problems:
        raise SettingsError("; ".join(reader.problems))
    return settings


def load(*, api: bool = False) -> Settings:
    """The process's own settings; ends the process with one line on stderr when they are wrong.

    ``api`` says that keys are needed: without one, anybody could start a harvest.
    """
    try:
        settings = read(os.environ)
        if api and not settings.api_keys:
            raise SettingsError("RENEC_API_KEY is not set")
    except SettingsError as error:
        sys.stderr.write(f"error[environment]: {error}\n")
        raise SystemExit(USAGE) from None
    return settings


class _Reader:
    """Reads variables and gathers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def parsed(self, name: str, default: str, parse: Callable[[str], _T]) -> _T:
        try:
            return parse(self._environ.get(name, default))
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return parse(default)

    def url(self, name: str, schemes: tuple[str, ...], default: str = "") -> str:
        value = self._environ.get(name) or default
        if not value:
            self.problems.append(f"{name} is not set")
            return ""
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 - raises for a bad port
        except ValueError:
            self.problems.append(f"{name} is not a URL")
            return ""
        if parts.scheme not in schemes or not (parts.hostname or parts.scheme == "unix"):
            self.problems.append(f"{name} is not a URL that begins with {' or '.join(schemes)}")
        return value

    def keys(self) -> tuple[str, ...]:
        listed = [self._environ.get("RENEC_API_KEY", ""), *self._environ.get("RENEC_API_KEYS", "").split(",")]
        keys = tuple(dict.fromkeys(key.strip() for key in listed if key.strip()))
        if any(key.lower() in _PUBLIC_KEYS or len(key) < _KEY_LENGTH_MIN for key in keys):
            self.problems.append(
                f"RENEC_API_KEY or RENEC_API_KEYS has a public key or one below {_KEY_LENGTH_MIN} characters"
            )
        return keys


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"is not a number from {least} to {most}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 3600:
        raise ValueError("is not a number of seconds from 0 to 3600")
    return value


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f"is none of {', '.join(_LEVELS)}")
    return text.upper()


def _optional_port(text: str) -> int | None:
    return _integer(1, 65535)(text) if text else None
