"""What is scraped, for which profile."""

from __future__ import annotations

from typing import Any

from renecinfra.platforms.local.scraping import ScrapeJob, scrape_jobs
from renecinfra.profiles.model import Profile


def jobs(**sections: Any) -> dict[str, ScrapeJob]:
    values = {"environment": "local", "platform": {"kind": "local"}, **sections}
    return {job.name: job for job in scrape_jobs(Profile.model_validate(values))}


def test_job_names_are_stable() -> None:
    assert set(jobs()) == {
        "alertmanager",
        "api",
        "backups",
        "blackbox",
        "edge",
        "node",
        "pgbouncer",
        "postgresql",
        "probe",
        "prometheus",
        "redis",
        "worker",
    }


def test_every_target_has_its_own_instance_and_the_labels_that_rules_select_by() -> None:
    found = [(job.name, target.instance) for job in jobs().values() for target in job.targets]
    assert len(found) == len(set(found))
    assert [t.labels["role"] for t in jobs()["postgresql"].targets] == ["primary", "replica"]
    assert [t.labels["store"] for t in jobs()["redis"].targets] == ["broker", "cache"]
    assert [t.labels["check"] for t in jobs()["probe"].targets] == ["edge-health", "api-standards"]


def test_replicas_have_a_target_each() -> None:
    many = jobs(workloads={"api": {"replicas": 3}, "worker": {"replicas": 2}})
    assert [t.instance for t in many["api"].targets] == ["api-1", "api-2", "api-3"]
    assert [t.address for t in many["api"].targets] == ["127.0.0.1:8460", "127.0.0.1:8461", "127.0.0.1:8462"]
    assert [t.service for t in many["worker"].targets] == ["worker-1", "worker-2"]
    assert [t.instance for t in jobs(database={"replicas": 0})["postgresql"].targets] == [
        "postgresql-primary"
    ]


def test_a_command_of_the_profile_has_metrics_only_where_it_says_so() -> None:
    real = {"command": ["uvicorn", "src.api.main:app"]}
    assert "api" not in jobs(workloads={"api": real})
    assert jobs(workloads={"api": {**real, "metrics_path": "/m"}})["api"].path == "/m"
    assert "worker" not in jobs(workloads={"worker": {"enabled": False}})
