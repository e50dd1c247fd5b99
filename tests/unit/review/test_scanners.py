"""What checkov and trivy print becomes findings. The programs are fakes here: they print what a file has."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from renecinfra import scanners
from renecinfra.errors import ToolError
from renecinfra.rendering import RenderedFile

BUNDLE = {"objects/api.yaml": RenderedFile("kind: Deployment\n")}
CHECKOV = {
    "results": {
        "failed_checks": [
            {
                "check_id": "CKV_K8S_20",
                "check_name": "Containers should not run with allowPrivilegeEscalation",
                "file_path": "/build/objects/api.yaml",
                "file_line_range": [3, 9],
                "resource": "Deployment.renec.api",
                "severity": None,
            }
        ]
    }
}
TRIVY = {
    "Results": [
        {
            "Target": "build/objects/api.yaml",
            "Misconfigurations": [
                {
                    "ID": "KSV-0012",
                    "Title": "Runs as root user",
                    "Severity": "HIGH",
                    "Status": "FAIL",
                    "CauseMetadata": {"StartLine": 4},
                },
                {"ID": "KSV-0001", "Title": "x", "Severity": "LOW", "Status": "PASS"},
            ],
        },
        {"Target": "stack/main.tf"},
    ]
}


def install(directory: Path, name: str, printed: str, code: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    output = directory / "output"
    output.write_text(printed, encoding="utf-8")
    program = directory / name
    program.write_text(f"#!/bin/sh\ncat '{output}'\nexit {code}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return next(one for one in scanners.SCANNERS if one.name == name)


@pytest.mark.parametrize(
    ("name", "printed", "code", "expected"),
    [
        ("checkov", CHECKOV, 1, [("checkov:CKV_K8S_20", "warn", "build/objects/api.yaml:3:1")]),
        (
            "checkov",
            [CHECKOV, {"passed": 0}],
            1,
            [("checkov:CKV_K8S_20", "warn", "build/objects/api.yaml:3:1")],
        ),
        ("trivy", TRIVY, 0, [("trivy:KSV-0012", "deny", "build/objects/api.yaml:4:1")]),
        ("trivy", {}, 0, []),
    ],
)
def test_findings(
    name: str, printed: Any, code: int, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = install(tmp_path, name, json.dumps(printed), code, monkeypatch)
    assert scanner.installed()
    found = scanner.scan(BUNDLE, tmp_path / "no-stack")
    assert [(one.rule, one.severity, str(one.location)) for one in found] == expected


def test_a_scanner_that_fails_is_an_error_and_no_clean_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = install(tmp_path, "trivy", "panic", 2, monkeypatch)
    with pytest.raises(ToolError) as refused:
        scanner.scan(BUNDLE, tmp_path)
    assert refused.value.id == "scanner-failed"
