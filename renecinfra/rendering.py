"""Strict Jinja to a bundle of files; what differs from disk; atomic writes and pruning.

Only ``*.j2`` passes through Jinja. Every other file is taken as it is. A bundle never holds a secret:
it is written to the build directory, printed as a diff, and hashed into Terraform's state.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jinja2

from renecinfra import __version__
from renecinfra.errors import Location, ProfileError
from renecinfra.syntax import check_syntax

STAMP = ".renecinfra-version"
# What an expression in a template can raise; anything else is a bug of ours.
_TEMPLATE_FAULTS = (
    jinja2.UndefinedError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
)


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file's text and permission bits."""

    text: str
    mode: int = 0o644


Bundle = Mapping[str, RenderedFile]
"""Rendered files by their path below the build directory, always with forward slashes."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """How a file on disk differs from the bundle."""

    path: str
    kind: Literal["add", "change", "remove"]
    diff: str


def digest(bundle: Bundle) -> str:
    """A hash of paths, modes and texts; equal bundles have equal digests on any machine."""
    parts = [[path, file.mode, file.text] for path, file in sorted(bundle.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Renderer:
    """Renders templates below one directory. Undefined names, unknown filters and bad output are errors."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._jinja = _environment(root)

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """The text of one template (``*.j2``) or of one verbatim file.

        Raises:
            ProfileError: the template does not parse, or uses something undefined.
        """
        if not template.endswith(".j2"):
            return _verbatim(self.root, template)
        try:
            return self._jinja.get_template(template).render(context)
        except jinja2.TemplateSyntaxError as error:
            name = error.filename or template
            raise _template_error(Path(name), error.lineno, str(error)) from error
        except _TEMPLATE_FAULTS as error:
            line = _line_in_template(error, self.root)
            raise _template_error(line[0] or self.root / template, line[1], str(error)) from error

    def file(self, template: str, path: str, context: Mapping[str, Any], mode: int = 0o644) -> RenderedFile:
        """One template as a bundle entry; YAML, JSON and HCL output is parsed first."""
        text = self.render(template, context)
        check_syntax(path, text, template)
        return RenderedFile(text, mode)

    def directory(self, source: str, context: Mapping[str, Any]) -> dict[str, RenderedFile]:
        """Every file below ``source``, with ``.j2`` taken off, keyed by its path below ``source``."""
        files = {}
        for relative, mode in _listing(self.root / source):
            name = relative.removesuffix(".j2")
            files[name] = self.file(f"{source}/{relative}", name, context, mode)
        return files

    def shared_directory(self, source: str, context: Mapping[str, Any]) -> Mapping[str, RenderedFile]:
        """Like :meth:`directory`, but rendered once for all environments of which the context is the same.

        For templates that print a few settings. Every value of ``context`` must be hashable.
        """
        return _shared(self.root, source, frozenset((name, _exact(v), v) for name, v in context.items()))


@lru_cache(maxsize=64)
def _shared(root: Path, source: str, context: frozenset[tuple[str, str, Any]]) -> Mapping[str, RenderedFile]:
    values = {name: value for name, _, value in context}
    return MappingProxyType(Renderer(root).directory(source, values))


def _exact(value: object) -> str:
    """Tells values apart that are equal and print differently: 1, 1.0 and True."""
    return repr(value) if isinstance(value, bool | int | float) else type(value).__name__


# Templates are read once per run, like Jinja's own: rendering many environments must not cost their reading.
@lru_cache(maxsize=256)
def _verbatim(root: Path, template: str) -> str:
    return (root / template).read_text(encoding="utf-8")


@lru_cache(maxsize=64)
def _listing(base: Path) -> tuple[tuple[str, int], ...]:
    """Every file below ``base`` with the mode that it is rendered with."""
    files = (path for path in sorted(base.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return tuple(
        (path.relative_to(base).as_posix(), 0o755 if path.stat().st_mode & 0o100 else 0o644) for path in files
    )


# json.dumps with options makes an encoder for every call.
_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


@lru_cache(maxsize=8)
def _environment(root: Path) -> jinja2.Environment:
    # Autoescape is for HTML; these are configuration files.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_bytecode_cache(root),
    )
    environment.filters.update(
        seconds=lambda value: int(value.total_seconds()),
        milliseconds=lambda value: int(value.total_seconds() * 1000),
        duration=_prometheus_duration,
        json=_JSON.encode,
        mebibytes=lambda value: int(value) // 2**20,
        conf_quote=_conf_quote,
    )
    return environment


def _bytecode_cache(root: Path) -> jinja2.FileSystemBytecodeCache | None:
    """Compiled templates are kept beside the workspace's state, where only the caller can write.

    Jinja keys them by the template's name and text. Python would run what is in there, so a directory that is
    not the caller's alone is not used.
    """
    if root.is_relative_to(Path(__file__).parent):
        return None  # the installed package's templates: it is not the place for a cache
    directory = root.parent / ".renecinfra" / ".templates"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return None  # a workspace that cannot be written to renders all the same
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return jinja2.FileSystemBytecodeCache(str(directory)) if private else None


def _prometheus_duration(value: Any) -> str:
    from renecinfra.profiles.base import format_duration

    return format_duration(value)


def _conf_quote(value: Any) -> str:
    """A single-quoted string as postgresql.conf takes it (quotes doubled; refuses a line break)."""
    text = str(value)
    if "\n" in text or "\0" in text:
        raise ValueError("a configuration value must not have a line break")
    return "'" + text.replace("'", "''") + "'"


def _line_in_template(error: BaseException, root: Path) -> tuple[Path | None, int]:
    found: tuple[Path | None, int] = (None, 1)
    traceback = error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.startswith(str(root)):
            found = (Path(name), traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def _template_error(path: Path, line: int, message: str) -> ProfileError:
    return ProfileError(
        "template-invalid",
        message.rstrip("."),
        location=Location(str(path), line, 1),
        hint="mend the template, then run `renecinfra render ENV --check`",
    )


def _nothing(_path: Path) -> bool:
    return False


def changes(
    bundle: Bundle, directory: Path, *, ignore: Callable[[Path], bool] = _nothing
) -> list[FileChange]:
    """What writing the bundle to ``directory`` would do, in path order.

    Files that are not in the bundle and that ``ignore`` says yes to are not opened and not reported.
    """
    return sorted(_changes(bundle, directory, ignore), key=lambda change: change.path)


def _changes(bundle: Bundle, directory: Path, ignore: Callable[[Path], bool]) -> Iterator[FileChange]:
    for path, file in bundle.items():
        target = directory / path
        old = _text_of(target) if target.is_file() else None
        if old is None:
            yield FileChange(path, "add", _diff("", file.text, path))
        elif old != file.text or target.stat().st_mode & 0o777 != file.mode:
            yield FileChange(path, "change", _diff(old, file.text, path))
    for path in _stale(bundle, directory):
        if ignore(directory / path):
            continue
        yield FileChange(path, "remove", _diff(_text_of(directory / path), "", path))


def _text_of(path: Path) -> str:
    """What is in a file that need not be ours: it may be no text, or a link that leads nowhere."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _stale(bundle: Bundle, directory: Path) -> list[str]:
    if not directory.is_dir():
        return []
    present = (p.relative_to(directory).as_posix() for p in directory.rglob("*") if not p.is_dir())
    return sorted(path for path in present if path not in bundle and path != STAMP)


def _diff(old: str, new: str, path: str) -> str:
    before, after = f"a/{path}" if old else "/dev/null", f"b/{path}" if new else "/dev/null"
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), before, after, lineterm="")
    return "\n".join(lines)


def write(bundle: Bundle, directory: Path) -> list[FileChange]:
    """Bring ``directory`` to the bundle: changed files by write-then-rename, stale ones removed.

    The stamp (our version and the bundle's digest) is written last, so a directory that an interrupted run
    left does not match its stamp.
    """
    done = changes(bundle, directory)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for change in done:
        target = directory / change.path
        if change.kind == "remove":
            target.unlink()
            _remove_empty(target.parent, directory)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, bundle[change.path].text, bundle[change.path].mode)
    stamp = f"{__version__}\n{digest(bundle)}\n"
    if _text_of(directory / STAMP) != stamp:
        write_atomically(directory / STAMP, stamp, 0o644)
    return done


def _remove_empty(directory: Path, stop: Path) -> None:
    while directory != stop and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


def write_atomically(
    target: Path,
    text: str,
    mode: int = 0o644,
    prepare: Callable[[int], None] | None = None,
    *,
    durable: bool = False,
) -> None:
    """Write beside the target, then rename over it: a reader sees the old file or the new one.

    The temporary file is 0600 until its mode is set, so a secret is never readable by others.
    ``prepare`` gets the open descriptor before the rename (to change the owner). ``durable`` waits until it
    is on the disk: for what cannot be made again.
    """
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if prepare is not None:
                prepare(stream.fileno())
            if durable:
                os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
