"""One comment on a pull request, found by its marker and updated in place, by GitHub's REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from renecinfra.errors import ToolError, UsageError
from renecinfra.redaction import redactor
from renecinfra.sensitive import Secret

API: Final = "https://api.github.com"
_TIMEOUT: Final = 20.0
_PAGE: Final = 100
_PAGES: Final = 50
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


class PullRequest:
    """The comments of one pull request.

    Every method raises ToolError where GitHub does not answer, or refuses.
    """

    def __init__(self, number: int, environ: Mapping[str, str]) -> None:
        """Taken from the environment that GitHub gives to jobs.

        Raises:
            UsageError: GITHUB_REPOSITORY or GITHUB_TOKEN is missing or wrong.
        """
        import urllib3

        repository, token = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_TOKEN", "")
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(
                "github-repository", "GITHUB_REPOSITORY is not OWNER/NAME", hint="GitHub sets it in a job"
            )
        if not token:
            raise UsageError(
                "github-token",
                "GITHUB_TOKEN is missing",
                hint="give the step `env: {GITHUB_TOKEN: ${{ github.token }}}` and the job "
                "`permissions: {pull-requests: write}`",
            )
        self._token = Secret(token)
        redactor.register(self._token)
        self._root = f"{environ.get('GITHUB_API_URL', API).rstrip('/')}/repos/{repository}"
        self._number = number
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=urllib3.Retry(2, redirect=0))

    def comment(self, text: str, marker: str) -> str:
        """Put ``text``, of which ``marker`` is the first line, into the one comment; returns its URL."""
        known = self._find(marker)
        if known is None:
            made = self._ask("POST", f"/issues/{self._number}/comments", {"body": text})
        else:
            made = self._ask("PATCH", f"/issues/comments/{known}", {"body": text})
        return str(made.get("html_url", ""))

    def _find(self, marker: str) -> int | None:
        """The newest comment of ours; anybody can write the marker, so only a bot's or our own counts."""
        found = None
        for page in range(1, _PAGES + 1):
            query = f"/issues/{self._number}/comments?per_page={_PAGE}&page={page}"
            comments = self._ask("GET", query)
            for one in comments:
                is_ours = (one.get("user") or {}).get("type") == "Bot"
                if is_ours and str(one.get("body") or "").startswith(marker):
                    found = int(one["id"])
            if len(comments) < _PAGE:
                break
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        import urllib3

        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token.reveal()}",
            "User-Agent": "renecinfra",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(method, self._root + path, headers=headers, body=data)
        except urllib3.exceptions.HTTPError as error:
            raise ToolError(
                "github-unreachable",
                f"GitHub does not answer: {redactor(str(error))}",
                hint="run the job again",
            ) from error
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = {}
        if response.status not in (200, 201):
            said = redactor(str(answer.get("message", "")) if isinstance(answer, dict) else "")
            raise ToolError(
                "github-refused",
                f"GitHub answered {response.status} to {method} of the comment: {said}",
                hint="the job needs `permissions: {pull-requests: write}`",
            )
        return answer
