"""How risky a change is: the catalogue, and the edges of the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from renecinfra.errors import ProfileError
from renecinfra.rendering import FileChange
from renecinfra.review import grading
from renecinfra.review.change import review
from renecinfra.review.conditions import holds
from renecinfra.review.grades import Grade, Grades, load_grades
from renecinfra.sensitive import REDACTED
from renecinfra.terraform.plan import UNKNOWN, parse_plan
from tests.unit.review import cases

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def grades() -> Grades:
    return load_grades(ROOT / "templates")


def graded(grades: Grades, document: dict[str, Any]) -> Any:
    return review("prod", grading.terraform_changes(parse_plan(document), grades))


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case[0])
def test_the_catalogue(case: Any, grades: Grades) -> None:
    found = graded(grades, cases.document(case)).changes
    assert [change.grade.word for change in found] == [case[-1]]
    assert all(found[0].reasons)


def test_the_catalogue_is_large_and_has_every_grade() -> None:
    assert len(cases.CASES) >= 40
    assert {case[-1] for case in cases.CASES} == {"safe", "caution", "stateful"}
    assert len({case[0] for case in cases.CASES}) == len(cases.CASES)


def test_a_type_with_data_never_ends_in_less_than_stateful(grades: Grades) -> None:
    for kind, subject in grades.types.items():
        if subject.data is None:
            continue
        for end in (cases.delete("", f"{kind}.a", ""), cases.replace("", f"{kind}.a", "x", "")):
            assert graded(grades, cases.document(end)).grade is Grade.STATEFUL, kind


def test_every_type_of_the_stacks_that_may_end_is_said_something_of(grades: Grades) -> None:
    """Nothing listed falls back to `unknown` for its end, which would be refused for no reason."""
    for kind, subject in [*grades.types.items(), *((g.match[0], g) for g in grades.groups)]:
        assert subject.data or (subject.delete and subject.replace), kind


def test_the_reasons_are_those_of_the_worst_attributes(grades: Grades) -> None:
    case = cases.update(
        "",
        cases.RDS,
        {"tags": {}, "multi_az": True, "a": 1},
        {"tags": {"x": "y"}, "multi_az": False, "a": 2},
        "",
    )
    (change,) = graded(grades, cases.document(case)).changes
    assert change.grade is Grade.CAUTION
    assert change.reasons == (
        "a: a setting of the database changes",
        "multi_az: no standby is left to fail over to",
    )
    assert change.attributes == ("a", "multi_az", "tags.x")


def test_a_replacement_names_what_forces_it(grades: Grades) -> None:
    (change,) = graded(grades, cases.document(cases.replace("", cases.RDS, "identifier", ""))).changes
    assert change.reasons == ("loses a database (identifier cannot change in place)",)


def test_a_sensitive_change_is_seen_and_not_shown(grades: Grades) -> None:
    document = cases.document(
        cases.update("", cases.RDS, {"password": "old-one"}, {"password": "new-one"}, "")
    )
    document["resource_changes"][0]["change"] |= {
        "before_sensitive": {"password": True},
        "after_sensitive": {"password": True},
    }
    (change,) = graded(grades, document).changes
    assert change.reasons == ("password: the master password changes",)
    assert "old-one" not in change.diff and "new-one" not in change.diff and REDACTED in change.diff


def test_an_unmarked_secret_is_hidden_by_its_name(grades: Grades) -> None:
    environment = [{"name": "DB_PASSWORD", "value": "hunter2"}]
    case = cases.create(
        "", "example_thing.a", {"env": environment, "api_key": "k-1", "kms_key_id": "arn:1"}, ""
    )
    (change,) = graded(grades, cases.document(case)).changes
    assert "hunter2" not in change.diff and "k-1" not in change.diff and "arn:1" in change.diff


def test_what_is_known_only_after_the_apply_counts_as_the_worst(grades: Grades) -> None:
    document = cases.document(cases.update("", cases.RDS, {"backup_retention_period": 7}, {}, ""))
    document["resource_changes"][0]["change"]["after_unknown"] = {"backup_retention_period": True}
    assert graded(grades, document).grade is Grade.STATEFUL


def test_no_ops_and_reads_are_no_changes(grades: Grades) -> None:
    document = cases.document(("", "aws_vpc.a", ["no-op"], {"a": 1}, {"a": 1}, [], ""))
    assert graded(grades, document).grade is None


@pytest.mark.parametrize(
    ("when", "before", "after", "expected"),
    [
        (None, 1, 1, True),
        ("lowered", 3, 2, True),
        ("lowered", 2, 3, False),
        ("lowered", "10Gi", "5Gi", True),
        ("lowered", "1Gi", "1500Mi", False),
        ("lowered", "500m", "1", False),
        ("lowered", None, 3, True),
        ("lowered", 3, UNKNOWN, True),
        ("raised", "7", "35", True),
        ("shortened", None, 30, True),
        ("shortened", 30, 0, False),
        ("added", ["a"], ["a", "b"], True),
        ("added", ["a", "b"], ["a"], False),
        ("removed", ["api", "audit"], ["api"], True),
        ("removed", ["api"], ["api", "audit"], False),
        ("enabled", None, True, True),
        ("enabled", True, False, False),
        ("disabled", True, None, True),
        ("disabled", None, True, False),
        ("opened", ["10.0.0.0/8"], ["10.0.0.0/8", "0.0.0.0/0"], True),
        ("opened", ["0.0.0.0/0"], ["0.0.0.0/0", "10.0.0.0/8"], False),
        ("opened", None, [{"ipv6_cidr_blocks": ["::/0"]}], True),
    ],
)
def test_conditions(when: Any, before: Any, after: Any, expected: bool) -> None:
    assert holds(when, before, after) is expected


DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "api"},
    "spec": {"replicas": 3, "template": {"spec": {"containers": [{"image": "api:1.4.0"}]}}},
}


def with_replicas(count: int) -> dict[str, Any]:
    return {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": count}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("kind", "before", "after", "expected"),
    [
        ("Deployment", None, DEPLOYMENT, "safe"),
        ("Deployment", DEPLOYMENT, with_replicas(4), "safe"),
        ("Deployment", DEPLOYMENT, with_replicas(2), "caution"),
        ("Deployment", DEPLOYMENT, None, "caution"),
        ("StatefulSet", {"spec": {}}, None, "stateful"),
        ("PersistentVolumeClaim", {"spec": {}}, None, "stateful"),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "10Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "20Gi"}}}},
            "safe",
        ),
        (
            "PersistentVolumeClaim",
            {"spec": {"resources": {"requests": {"storage": "20Gi"}}}},
            {"spec": {"resources": {"requests": {"storage": "10Gi"}}}},
            "stateful",
        ),
        ("Cluster", {"spec": {"instances": 3}}, {"spec": {"instances": 2}}, "caution"),
        ("Cluster", {"spec": {}}, None, "stateful"),
        ("CustomResourceDefinition", {"spec": {}}, None, "stateful"),
        ("Namespace", {"spec": {}}, None, "stateful"),
        ("ScheduledBackup", {"spec": {}}, None, "stateful"),
        ("PodDisruptionBudget", {"spec": {}}, None, "caution"),
        ("ServiceMonitor", {"spec": {"a": 1}}, {"spec": {"a": 2}}, "safe"),
        ("SomethingElse", {"spec": {}}, None, "stateful"),
    ],
)
def test_objects(kind: str, before: Any, after: Any, expected: str, grades: Grades) -> None:
    grade, reasons, _ = grading.grade_object(kind, before, after, grades)
    assert grade.word == expected
    assert all(reasons)


def test_files_secrets_and_hooks(grades: Grades) -> None:
    files = [
        FileChange("postgresql-primary/pg_hba.conf", "change", "-a\n+b"),
        FileChange("prometheus/rules/ApiDown.yaml", "change", "-a\n+b"),
        FileChange("anything", "add", "+b"),
    ]
    found = list(grading.file_changes(files, grades))
    assert [change.grade.word for change in found] == ["caution", "safe", "safe"]
    assert found[0].diff == "-a\n+b"

    before, after = {"a": 1, "b": 2, "c": 1}, {"b": 3, "c": 1, "d": 1}
    secrets = {change.address: change for change in grading.secret_changes(before, after, grades)}
    assert secrets["b"].reasons == ("version 2 -> 3: what uses it takes over the new value",)
    assert [secrets[name].action for name in "abd"] == ["delete", "update", "create"]

    hooks = list(grading.hook_changes(["monitoring", "workers", "other"], grades))
    assert [change.grade.word for change in hooks] == ["safe", "caution", "caution"]


def test_the_worst_comes_first(grades: Grades) -> None:
    changes = [
        *grading.hook_changes(["workers"], grades),
        *grading.terraform_changes(parse_plan(cases.document(cases.delete("", cases.RDS, ""))), grades),
        *grading.file_changes([FileChange("anything", "add", "")], grades),
    ]
    made = review("prod", changes)
    assert [change.grade for change in made.changes] == [Grade.STATEFUL, Grade.CAUTION, Grade.SAFE]
    assert made.grade is Grade.STATEFUL
    assert [change.address for change in made.stateful] == [cases.RDS]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  aws_db_snapshot: {data", "  aws_db_snapshot: {dat", "did you mean data"),
        (
            "aws_db_snapshot: {data: a snapshot of the database}",
            "aws_db_snapshot: {data: a, delete: {grade: safe, reason: none}}",
            "it holds data",
        ),
        ("aws_ebs_snapshot: {data", "null_resource: {data", "name a type twice: null_resource"),
        (
            "{grade: safe, reason: a limit",
            "{grade: harmless, reason: a limit",
            "one of safe, caution, stateful",
        ),
        (
            '  - {match: "*", grade: caution, reason: a setting changes}\n',
            "",
            "must end with an entry that matches *",
        ),
        ("labels: [", "labels: 7\nx: [", "list"),
    ],
)
def test_a_wrong_file_is_refused_at_its_place(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = (ROOT / "templates" / "review" / "grades.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "grades.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError) as refused:
        load_grades(tmp_path)
    error = refused.value
    assert error.id == "grades-invalid"
    assert error.location is not None and error.location.line > 1
    assert words in f"{error.message} {error.hint} {' '.join(error.details)}"


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        load_grades(tmp_path)
