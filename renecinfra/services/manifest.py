"""Services as files: manifests, supervisord's configuration, digests, and Terraform's variables. Pure.

What is made here is rendered, diffed and hashed like every other bundle, and holds no secret: it names the
0600 files that do.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from renecinfra.agents.lifecycle import SOCKET
from renecinfra.errors import ToolError
from renecinfra.platforms.local.host import Host
from renecinfra.rendering import Bundle, RenderedFile
from renecinfra.services.definition import HealthCheck, Service
from renecinfra.workspace import EnvironmentPaths

_PACKAGE = Path(__file__).parents[1]
_LIBRARY_PARTS = ("agents", "exporters", "reference", "recovery")
# What those import of the rest.
_LIBRARY_MODULES = ("errors", "guard", "interruption", "pipes", "process", "redaction", "sensitive")
# supervisord gives up on a service after this many starts in a row that last under a second; its pauses grow
# by a second each time, so this is about 80 minutes.
_START_RETRIES = 100
_LOG_BYTES, _LOG_BACKUPS = "10MB", 2
_NO_VERSIONS: Mapping[str, int] = MappingProxyType({})


def service_bundle(
    services: Sequence[Service], host: Host, secret_versions: Mapping[str, int] = _NO_VERSIONS
) -> Bundle:
    """Every service's files, manifest and supervisord program, and supervisord's own configuration.

    ``secret_versions`` has a version for what any service names in ``reload_secrets``.

    Raises:
        ToolError: a path of this machine cannot be written into supervisord's configuration.
    """
    launch = [host.python, "-I", "-S", str(host.paths.lib / "renecinfra" / "agents" / "launch.py")]
    launch += ["--home", str(host.paths.home)]
    bundle: dict[str, RenderedFile] = {
        "services/supervisord.conf": RenderedFile(_supervisord_conf(host)),
        "services/environment.json": RenderedFile(_environment(host)),
    }
    for service in services:
        base = f"services/{service.name}"
        for name, file in {**service.files, **service.reload_files}.items():
            bundle[f"{base}/{name}"] = file
        bundle[f"{base}/service.json"] = RenderedFile(_manifest(service, secret_versions))
        bundle[f"{base}/supervisor.conf"] = RenderedFile(_program(service, launch, str(host.paths.log)))
    return bundle


def supervisor_identifier(host: Host) -> str:
    """What supervisord calls itself: it changes whenever supervisord has to be replaced."""
    user = host.user
    facts = [_supervisord_sections(host.paths), host.python, user.uid, user.gid, str(host.paths.home)]
    return f"renecinfra-{_sha256(facts)[:16]}"


def restart_digest(service: Service, secret_versions: Mapping[str, int]) -> str:
    """A hash of everything whose change asks for a restart: not ``reload_files``, not how health is asked.

    A service that runs our own modules also restarts when they change.
    """
    facts: list[object] = [
        service.name,
        service.kind,
        service.command,
        service.directory,
        dict(service.environment),
        service.env_files,
        service.stop_signal,
        service.stop_seconds,
        _files(service.files),
        {reference: secret_versions[reference] for reference in service.secrets},
    ]
    if any(word.startswith("renecinfra.") for word in service.command):
        facts.append(_library_digest())
    return _sha256(facts)


def tfvars(services: Sequence[Service], host: Host, secret_versions: Mapping[str, int]) -> str:
    """terraform.tfvars.json of the stack ``local``."""
    variables = {
        "home": str(host.paths.home),
        "python": host.python,
        "supervisor": supervisor_identifier(host),
        "services": {
            service.name: {
                "layer": str(service.layer),
                "digest": restart_digest(service, secret_versions),
            }
            for service in services
        },
    }
    return _json(variables)


@cache
def library() -> Bundle:
    """The Python code that services run, by its path below ``lib/``: the agents, the reference workload."""
    files = {"renecinfra/__init__.py": RenderedFile("")}
    for module in _LIBRARY_MODULES:
        source = (_PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        files[f"renecinfra/{module}.py"] = RenderedFile(source)
    for part in _LIBRARY_PARTS:
        for path in sorted((_PACKAGE / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = f"renecinfra/{path.relative_to(_PACKAGE).as_posix()}"
                files[name] = RenderedFile(path.read_text(encoding="utf-8"))
    return files


@cache
def _library_digest() -> str:
    return _sha256(_files(library()))


def _files(files: Mapping[str, RenderedFile]) -> list[tuple[str, int, str]]:
    return [(name, file.mode, _text_digest(file.text)) for name, file in sorted(files.items())]


@lru_cache(maxsize=1024)  # environments share most of their files to the letter
def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(facts: object) -> str:
    return hashlib.sha256(_ENCODE(facts).encode()).hexdigest()


# json.dumps with options makes an encoder for every call.
_ENCODE = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode
_ENCODE_LINES = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",\n  ", ": ")).encode
_HEALTH_FIELDS = tuple(field.name for field in fields(HealthCheck))


def _json(value: Mapping[str, object]) -> str:
    """A line per item: a diff shows what changed, and it is twenty times as fast as an indented document."""
    return f"{{\n  {_ENCODE_LINES(value)[1:-1]}\n}}\n"


def _manifest(service: Service, secret_versions: Mapping[str, int]) -> str:
    """What agents.home.Manifest reads."""
    reloaded: list[object] = [_files(service.reload_files)]
    if service.reload_secrets:
        reloaded.append({reference: secret_versions[reference] for reference in service.reload_secrets})
    return _json(
        {
            "name": service.name,
            "layer": str(service.layer),
            "kind": service.kind,
            "command": list(service.command),
            "directory": service.directory,
            "environment": dict(service.environment),
            "env_files": list(service.env_files),
            "health": {name: getattr(service.health, name) for name in _HEALTH_FIELDS},
            "reload_digest": _sha256(reloaded) if service.reload == "hup" else "",
            "stop_signal": service.stop_signal,
            "stop_seconds": service.stop_seconds,
            "start_seconds": service.start_seconds,
        }
    )


def _environment(host: Host) -> str:
    """What agents.home.Home reads."""
    return _json(
        {
            "run": str(host.paths.run),
            "uid": host.user.uid,
            "gid": host.user.gid,
            "python": host.python,
            "identifier": supervisor_identifier(host),
        }
    )


def _supervisord_conf(host: Host) -> str:
    head, _, rest = _supervisord_sections(host.paths).partition("\n")
    return f"{head}\nidentifier={supervisor_identifier(host)}\n{rest}"


@lru_cache(maxsize=4)
def _supervisord_sections(paths: EnvironmentPaths) -> str:
    # `include` is relative to the file, because supervisord splits its patterns at blanks.
    log, run = paths.log, paths.run
    return _sections(
        {
            "supervisord": {
                "logfile": _value(log / "supervisord.log"),
                "logfile_maxbytes": "1MB",
                "logfile_backups": "2",
                "loglevel": "info",
                "silent": "true",
                "pidfile": _value(run / "supervisord.pid"),
                "childlogdir": _value(log),
                "nocleanup": "true",
                "umask": "077",
            },
            "unix_http_server": {"file": _value(run / SOCKET), "chmod": "0700"},
            "rpcinterface:supervisor": {
                "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
            },
            "include": {"files": "*/supervisor.conf"},
        }
    )


def _program(service: Service, launch: Sequence[str], logs: str) -> str:
    job = service.kind == "job"
    return _sections(
        {
            f"program:{service.name}": {
                "command": _value(shlex.join([*launch, service.name])),
                "autostart": "false",
                "autorestart": "false" if job else "true",
                "startsecs": "0" if job else "1",
                "startretries": "0" if job else str(_START_RETRIES),
                "exitcodes": "0",
                "stopsignal": service.stop_signal,
                "stopwaitsecs": str(service.stop_seconds),
                # The service sees to its own children; only SIGKILL goes to the whole group.
                "stopasgroup": "false",
                "killasgroup": "true",
                "redirect_stderr": "true",
                # supervisord 4.3 expands this one value twice.
                "stdout_logfile": _value(_value(f"{logs}/{service.name}.log")),
                "stdout_logfile_maxbytes": _LOG_BYTES,
                "stdout_logfile_backups": str(_LOG_BACKUPS),
                "umask": "077",
            }
        }
    )


def _sections(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(f"[{name}]\n{''.join(_lines(values.items()))}" for name, values in sections.items())


def _lines(values: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (f"{key}={value}\n" for key, value in values)


def _value(value: object) -> str:
    """A value as supervisord's parser takes it: ``%`` begins an expansion, `` ;`` and `` #`` a comment."""
    text = str(value)
    if re.search(r"\s[;#]|[\r\n]", text):
        raise ToolError(
            "path-unsupported",
            f"supervisord's configuration cannot hold this path: {text!r}",
            hint="move the workspace to a directory without ' #', ' ;' or a line break in its name",
        )
    return text.replace("%", "%%")
