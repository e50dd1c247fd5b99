"""The workflows: linted, and the one of pull requests run step by step against a fake of GitHub's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ports import free_port_base

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
WORKFLOWS = ROOT / "templates" / "ci"
NAME = "pulled"
BIN = Path(sys.executable).parent


class GitHub(ThreadingHTTPServer):
    """As much of the API as the comment takes: list, create, update. A fake, because GitHub cannot be had."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: list[dict[str, Any]] = [
            {"id": 1, "user": {"type": "User"}, "body": "<!-- renecinfra plan -->\nwritten by somebody"}
        ]
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: GitHub

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        listed = re.fullmatch(r"/repos/o/r/issues/7/comments(\?.*)?", self.path)
        one = re.fullmatch(r"/repos/o/r/issues/comments/(\d+)", self.path)
        if listed and self.command == "GET":
            page = int(re.findall(r"[?&]page=(\d+)", self.path)[0])
            self._answer(200, self.server.comments if page == 1 else [])
        elif listed and self.command == "POST":
            made = {"id": len(self.server.comments) + 1, "user": {"type": "Bot"}, "body": body["body"]}
            self.server.comments.append(made)
            self._answer(201, made | {"html_url": "https://example.org/7"})
        elif one and self.command == "PATCH":
            found = next(c for c in self.server.comments if c["id"] == int(one[1]))
            found["body"] = body["body"]
            self._answer(200, found | {"html_url": "https://example.org/7"})
        else:
            self._answer(404, {"message": "Not Found"})

    do_GET = do_POST = do_PATCH = _handle

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize(
    "linter", [["actionlint"], ["zizmor", "--offline", "--quiet"]], ids=lambda one: one[0]
)
def test_linters_find_nothing(linter: list[str], tmp_path: Path) -> None:
    directory = tmp_path / ".github" / "workflows"
    directory.mkdir(parents=True)
    for path in [*WORKFLOWS.glob("*.yml"), *(ROOT / ".github" / "workflows").glob("*.yml")]:
        shutil.copy(path, directory)
    git(tmp_path, "init", "-q")
    files = sorted(str(path) for path in directory.glob("*.yml"))
    done = subprocess.run(
        [BIN / linter[0], *linter[1:], *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_named_by_a_digest() -> None:
    paths = [*WORKFLOWS.glob("*.yml"), *(ROOT / ".github" / "workflows").glob("*.yml")]
    used = [use for path in paths for use in re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))]
    assert len(used) > 10
    for action, comment in used:
        pinned = re.search(r"@[0-9a-f]{40}$", action) and re.search(r"# v[0-9.]+$", comment)
        assert action.startswith("./") or pinned, action


def git(directory: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Job:
    """Runs the `run:` steps of a job as GitHub's runner would: bash -e, with its files and expressions."""

    def __init__(self, workspace: Path, temp: Path, facts: dict[str, str]) -> None:
        self.workspace, self.temp, self.facts = workspace, temp, facts
        self.outputs: dict[str, dict[str, str]] = {}

    def run(self, step: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        files = {name: self.temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", encoding="utf-8")
        own = {name: self.value(str(value)) for name, value in step.get("env", {}).items()}
        paths = {name: str(path) for name, path in files.items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.workspace,
            env=os.environ | paths | {"RUNNER_TEMP": str(self.temp)} | self.facts | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if "id" in step:
            pairs = (line.partition("=") for line in files["GITHUB_OUTPUT"].read_text().splitlines())
            self.outputs[step["id"]] = {name: value for name, _, value in pairs}
        return done

    def value(self, text: str) -> str:
        def replaced(match: re.Match[str]) -> str:
            expression = match[1].strip()
            if output := re.fullmatch(r"steps\.(\w+)\.outputs\.(\w+)", expression):
                return self.outputs[output[1]][output[2]]
            return self.facts[expression]

        return re.sub(r"\$\{\{(.*?)\}\}", replaced, text)


@pytest.fixture
def pull_request(tmp_path: Path) -> tuple[Path, str]:
    """A clone whose branch changes one environment of two, and the commit that the branch began at."""
    origin = tmp_path / "origin"
    for part in ("environments", "templates", "terraform"):
        shutil.copytree(ROOT / part, origin / part)
    for name in (NAME, "untouched"):
        (origin / "environments" / f"{name}.yaml").write_text(
            f"environment: {name}\nextends: local\nsecrets: {{provider: generated}}\n"
            f"platform:\n  port_base: {free_port_base()}\n"
        )
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "base")
    base = git(origin, "rev-parse", "HEAD")
    git(origin, "switch", "-qc", "topic")
    profile = origin / "environments" / f"{NAME}.yaml"
    profile.write_text(profile.read_text() + "workloads:\n  api: {replicas: 3}\n")
    git(origin, "commit", "-qam", "three replicas")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--branch", "topic", str(origin), str(clone))
    return clone, base


@pytest.fixture
def temp() -> Iterator[Path]:
    """The runner's directory; the services' user can enter it, which plans of local environments need."""
    with tempfile.TemporaryDirectory(prefix="renec-runner-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def test_every_step_of_the_plan_workflow_runs(
    pull_request: tuple[Path, str], github: GitHub, temp: Path
) -> None:
    clone, base = pull_request
    site = next(path for path in sys.path if path.endswith("site-packages"))
    facts = {
        "vars.RENECINFRA_PACKAGE || 'renecinfra'": str(ROOT),
        "github.event.pull_request.base.sha": base,
        "github.event.pull_request.number": "7",
        "github.token": "ghs_0123456789abcdefghij",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_API_URL": github.url,
        "RENECINFRA_WORKSPACE": str(clone),
        # What is installed here already is not fetched again.
        "PYTHONPATH": site,
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
    }
    workflow = yaml.safe_load((WORKFLOWS / "plan.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    steps = [step for step in job["steps"] if "run" in step]
    assert [step["name"] for step in steps] == ["Install", "Validate", "Plan", "Comment", "Result"]
    runner = Job(clone, temp, facts)
    for step in steps:
        done = runner.run(step)
        said = (temp / "comment.md").read_text() if step["name"] == "Result" else ""
        assert done.returncode == 0, f"{step['name']}: {done.stdout}{done.stderr}{said}"
        assert "ghs_0123456789" not in done.stdout + done.stderr
    body = github.comments[-1]["body"]
    assert runner.outputs["plan"]["code"] == "2", body
    assert len(github.comments) == 2
    assert f"## Plan for `{NAME}`" in body and "untouched" not in body
    assert '`terraform_data.workload["api-3"]`' in body
    assert "renecinfra plan --changed-since" in body
    assert {asked[2] for asked in github.asked} == {"Bearer ghs_0123456789abcdefghij"}

    assert runner.run(steps[3]).returncode == 0
    assert len(github.comments) == 2, "the comment is updated in place, and somebody's own is left alone"
    assert github.asked[-1][0] == "PATCH"
