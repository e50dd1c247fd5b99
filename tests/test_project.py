"""The project's own promises: what the README says exists, links lead somewhere, nothing foreign is in it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "terraform").rglob("*.md")])
MODULES = sorted((ROOT / "renecinfra").rglob("*.py"))
MODULE_LINES = 350
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Terraform names its provider by host; nothing else needs the name of a package index, mirror or registry.
REGISTRIES = (
    "pypi." + "org",
    "pythonhosted" + ".org",
    "deb.debian" + ".org",
    "registry.terraform" + ".io",
    "npmjs" + ".",
)
PLACES = ("/ro" + "ot/.", "/wo" + "rk/", "/op" + "t/wheels")


def _tracked() -> list[Path]:
    """The project's files: git's, or all but the usual leftovers in a copy without git."""
    argv = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        skipped = re.compile(r"/(\.[a-z_]+|__pycache__|site|dist|build)/")
        paths = [path for path in ROOT.rglob("*") if not skipped.search(f"/{path.relative_to(ROOT)}")]
    return [path for path in paths if path.is_file()]


def _links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    return [target for target in targets if "://" not in target and not target.startswith("mailto:")]


def _headings(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _links(page):
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        assert destination.exists(), f"{target} leads nowhere"
        if anchor and destination.suffix == ".md":
            assert anchor in _headings(destination), f"{target} names a heading that is not there"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/.-]+\.md", navigation))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert pages == named


def _shell_lines() -> list[str]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    blocks = [match for page in pages for match in FENCE.findall(page.read_text(encoding="utf-8"))]
    return [line for language, block in blocks if language == "sh" for line in block.splitlines()]


def test_make_commands_of_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"`make ([a-z]+)", text))
    named |= {word for line in _shell_lines() for word in re.findall(r"^make ([a-z]+)", line)}
    assert {"up", "test"} <= named
    assert named <= targets


def test_renecinfra_commands_of_the_documentation_exist() -> None:
    """Each is parsed by the real command line, with its options; none of them is run."""
    import typer.main

    from renecinfra.cli.app import app

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    lines = set(re.findall(r"`renecinfra ([a-z][^`\n]*)`", text))
    lines |= {line.removeprefix("renecinfra ") for line in _shell_lines() if line.startswith("renecinfra ")}
    assert len(lines) > 10
    for line in sorted(lines):
        command: Any = typer.main.get_command(app)
        words = line.split()
        while words and hasattr(command, "commands"):
            # A group may take arguments before its command: `secrets ENV check`.
            arguments = sum(parameter.param_type_name == "argument" for parameter in command.params)
            name, words = words[arguments], words[arguments + 1 :]
            assert name in command.commands, f"`renecinfra {line}`: there is no command {name}"
            command = command.commands[name]
        context = command.make_context("renecinfra", [], resilient_parsing=True)
        command.make_parser(context).parse_args(words)


def test_exit_codes_are_documented() -> None:
    from renecinfra.errors import ExitCode

    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    assert all(re.search(rf"(^|· )\s*{int(code)} \w", readme, re.MULTILINE) for code in ExitCode)


def test_the_page_of_errors_is_current() -> None:
    page = runpy.run_path(str(ROOT / "tools" / "errors_page.py"))["page"]
    current = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert current == page(), "run `make format`, which writes it"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_modules_are_short_and_say_what_they_are(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    assert ast.get_docstring(ast.parse(text)), "a module's docstring says what it is for"


@pytest.mark.parametrize(
    "module", sorted((ROOT / "renecinfra" / "agents").glob("*.py")), ids=lambda m: m.name
)
def test_agents_import_the_standard_library_alone(module: Path) -> None:
    """But for the supervisor's own process, which is made of supervisor."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    allowed = ("renecinfra.agents", "supervisor") if module.name == "daemon.py" else ("renecinfra.agents",)
    assert all(name.startswith(allowed) for name in foreign)


def test_no_package_index_and_no_place_of_one_machine_is_named() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*REGISTRIES, *PLACES) if word in text]
    assert not found


def test_the_installed_metadata_is_that_of_pyproject() -> None:
    """The services' requirements are read from it: a stale installation would build a stale Python."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = set(project["optional-dependencies"])
    assert set(importlib.metadata.metadata("renecinfra").get_all("Provides-Extra") or []) == declared


def test_the_workflow_runs_steps_that_exist() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = set(workflow["jobs"]["checks"]["strategy"]["matrix"]["step"])
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert steps <= set(re.findall(r"^        (\w+)\) step", script, re.MULTILINE))


@pytest.mark.parametrize("script", [".ci/run", "tools/venv.sh"])
def test_scripts_are_well_formed(script: str) -> None:
    shell = "bash" if script == ".ci/run" else "sh"
    done = subprocess.run([shell, "-n", ROOT / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_refused_python_is_an_error_of_one_line_and_a_hint(tmp_path: Path) -> None:
    for name in ("tools/venv.sh", "pyproject.toml"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["sh", tmp_path / "tools" / "venv.sh", "services"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": "/bin/false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("error[python-unsuitable]: PYTHON=/bin/false")
    assert not (tmp_path / ".venv").exists()
