"""A job that looks into a recovered PostgreSQL of a cluster, and what it found. Pure.

It logs in as the application does, and may only read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from renecinfra.kubernetes.jobs import MESSAGE, Access, Job, image
from renecinfra.kubernetes.secrets import DATABASE_OWNER, labels
from renecinfra.profiles.model import Profile
from renecinfra.recovery.engine.checking import Finding
from renecinfra.secrets import policy

COMPONENT: Final = "restore-check"
"""What its pods are called; the chart's network policies let them reach PostgreSQL."""
SECONDS: Final = 3600
"""How long it may take in all."""
_STATEMENT_SECONDS: Final = 600
_CONTENTS: Final = """
SELECT count(*), coalesce(sum((xpath('/row/n/text()', query_to_xml(
         format('SELECT count(*) AS n FROM %I.%I', n.nspname, c.relname), false, true, ''
       )))[1]::text::bigint), 0)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
  AND has_table_privilege(c.oid, 'SELECT')
"""
_ESTIMATE: Final = """
SELECT 'about', count(*), coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
"""
SCRIPT: Final = r"""
set -u
ask() { psql --no-psqlrc -qAt --command="$1" 2>&1 | tr '\n\t' '  ' | cut -c1-200; }
{
  printf 'version\t%s\n' "$(ask 'SHOW server_version')"
  printf 'recovery\t%s\n' "$(ask 'SELECT pg_is_in_recovery()')"
  contents=$(ask "$CONTENTS")
  case $contents in [0-9]*'|'*) ;; *) contents=$(ask "$ESTIMATE") ;; esac
  printf 'contents\t%s\n' "$contents"
  number=0
  while [ "$number" -lt "$ASSERTIONS" ]; do
    eval "query=\$ASSERTION_$number"
    printf '%s\t%s\n' "$number" "$(ask "$query")"
    number=$((number + 1))
  done
} >"$MESSAGE"
"""
"""Run by sh, with psql's variables for where and who; writes lines of a key, a tab and what was answered."""
_COUNTS: Final = re.compile(r"(about\|)?([0-9]+)\|([0-9]+) *")


@dataclass(frozen=True, slots=True)
class Checked:
    """Which cluster is looked into, and with which image of PostgreSQL."""

    cluster: str
    image: str

    @property
    def job(self) -> str:
        """The job's name."""
        return f"{self.cluster}-check"[-63:]


def variables(assertions: Mapping[str, str], message: str) -> dict[str, str]:
    """What the script is told beside where to log in."""
    asked = {f"ASSERTION_{number}": query for number, query in enumerate(assertions.values())}
    return {
        "CONTENTS": _CONTENTS,
        "ESTIMATE": _ESTIMATE,
        "ASSERTIONS": str(len(asked)),
        "MESSAGE": message,
        "PGCONNECT_TIMEOUT": "10",
        "PGOPTIONS": f"-c default_transaction_read_only=on -c statement_timeout={_STATEMENT_SECONDS}s",
        **asked,
    }


def job(profile: Profile, checked: Checked) -> Job:
    """The job that looks into a cluster."""
    database = profile.database
    plain = {
        **variables(profile.backups.assertions, MESSAGE),
        "PGHOST": f"{checked.cluster}-rw",
        "PGDATABASE": database.name,
        "PGSSLMODE": "require",
    }
    secret = {"PGUSER": (DATABASE_OWNER, "username"), "PGPASSWORD": (DATABASE_OWNER, "password")}
    return Job(checked.job, COMPONENT, checked.image, SCRIPT, plain, secret, labels(profile), seconds=SECONDS)


def job_elsewhere(profile: Profile, address: str, access: Access) -> Job:
    """The job that looks into a database outside of the cluster, as whoever ``access`` lets in."""
    name, namespace = f"renec-{COMPONENT}", policy.namespace_of(profile)
    plain = {
        **variables(profile.backups.assertions, MESSAGE),
        "PGHOST": address,
        "PGDATABASE": profile.database.name,
        "PGSSLMODE": "require",
    }
    return Job(
        name,
        COMPONENT,
        image(profile.database.version),
        SCRIPT,
        plain,
        {"PGUSER": (name, "user"), "PGPASSWORD": (name, "password")},
        labels(profile),
        seconds=SECONDS,
        with_it=access.objects(name, COMPONENT, namespace, labels(profile)),
    )


def findings(message: str, assertions: Mapping[str, str]) -> list[Finding]:
    """What a termination message says; what it does not say was not right."""
    answers = dict(line.split("\t", 1) for line in message.splitlines() if "\t" in line)
    version, recovery = (answers.get(key, "").strip() for key in ("version", "recovery"))
    opens = recovery == "f"
    found = [Finding("opens", opens, f"PostgreSQL {version}" if opens else recovery or "it said nothing")]
    counts = _COUNTS.fullmatch(answers.get("contents", ""))
    if counts is None:
        found.append(Finding("rows", False, answers.get("contents", "").strip() or "they were not counted"))
    else:
        about = "about " if counts[1] else ""
        found.append(Finding("rows", True, f"{about}{counts[3]} rows in {counts[2]} tables"))
    for number, name in enumerate(assertions):
        answer = answers.get(str(number), "").strip()
        detail = "holds" if answer == "t" else f"gives {answer or 'nothing'} and not true"
        found.append(Finding(name, answer == "t", detail))
    return found
