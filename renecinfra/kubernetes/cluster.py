"""A cluster, worked on by helm and kubectl: the one place where their command lines run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from renecinfra import process
from renecinfra.errors import ClusterError, InterruptedRunError
from renecinfra.kubernetes import diagnosis, faults
from renecinfra.kubernetes.helm import Helm
from renecinfra.kubernetes.kubectl import Kubectl
from renecinfra.kubernetes.tools import Target, Tools

_QUERY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Cluster:
    """One cluster. ``environ`` is the environment that helm and kubectl run in; ours when None.

    ``pass_fds`` are kept open by what changes the cluster: the environment's lock.
    """

    tools: Tools
    target: Target
    environ: Mapping[str, str] | None = None
    pass_fds: Sequence[int] = ()
    on_command: Callable[[Sequence[str]], None] = field(default=lambda _argv: None)

    @cached_property
    def helm(self) -> Helm:
        """Helm's command lines."""
        return Helm(self.tools.helm, self.target)

    @cached_property
    def kubectl(self) -> Kubectl:
        """kubectl's command lines."""
        return Kubectl(self.tools.kubectl, self.target)

    def read(self, argv: Sequence[str], *, seconds: float = _QUERY_SECONDS, input_: str | None = None) -> str:
        """What a command prints that only asks. It is not redacted: it is parsed.

        Raises:
            ClusterError: it failed; why, and what to do.
        """
        done = process.run(argv, env=self.environ, timeout=seconds, check=False, input=input_, redact=False)
        if done.returncode != 0:
            raise faults.explain(done.stderr or done.stdout, self.target, _what(argv))
        return done.stdout

    def ask(self, argv: Sequence[str]) -> Any:
        """What a command prints as JSON.

        Raises:
            ClusterError: it failed, or printed something else.
        """
        printed = self.read(argv)
        try:
            return json.loads(printed) if printed.strip() else None
        except ValueError:
            raise ClusterError(
                "cluster-answer",
                f"{_what(argv)} printed something that is not JSON",
                hint="is something between us and the cluster that answers in its place?",
            ) from None

    def allows(self, argv: Sequence[str]) -> bool:
        """Whether a command that answers by its exit code says yes.

        Raises:
            ClusterError: the question could not be asked.
        """
        done = process.run(argv, env=self.environ, timeout=_QUERY_SECONDS, check=False)
        if done.returncode not in (0, 1) or (done.returncode == 1 and done.stderr.strip()):
            raise faults.explain(done.stderr, self.target, _what(argv))
        return done.returncode == 0

    def change(
        self,
        argv: Sequence[str],
        *,
        on_line: Callable[[str], None] = lambda _line: None,
        on_interrupt: Callable[[], None] | None = None,
    ) -> None:
        """Run what changes the cluster. Ctrl-C reaches it once, and it is waited for: Helm then rolls back.

        Raises:
            ClusterError: it failed; why, and what to do.
            InterruptedRunError: it was interrupted, and has ended.
        """
        self.on_command(argv)
        lines: list[str] = []

        def take(line: str) -> None:
            lines.append(line)
            on_line(line)

        code = process.stream(
            argv,
            on_line=take,
            env=self.environ,
            name=_what(argv),
            on_interrupt=on_interrupt,
            pass_fds=self.pass_fds,
        )
        if code != 0:
            raise faults.explain("\n".join(lines), self.target, _what(argv))

    def apply(self, manifest: str, namespace: str | None = None) -> None:
        """Apply objects from memory: what they hold is neither written nor shown.

        Raises:
            ClusterError: the cluster refuses.
        """
        argv = self.kubectl.apply(namespace)
        self.on_command(argv)
        self.read(argv, input_=manifest, seconds=180)

    def objects(self, kind: str, namespace: str | None, selector: str | None = None) -> list[dict[str, Any]]:
        """Objects of a kind; none where the cluster does not know it.

        Raises:
            ClusterError: it does not answer.
        """
        try:
            found = self.ask(self.kubectl.get(kind, namespace, selector=selector))
        except ClusterError as error:
            text = " ".join((error.message, *error.details))
            if "the server doesn't have a resource type" in text or "could not find the requested" in text:
                return []
            raise
        return list(found["items"]) if found else []

    def diagnose(self, namespace: str) -> list[diagnosis.Finding]:
        """What keeps the pods of a namespace from running; nothing where that cannot be asked either."""
        try:
            pods, events = self.objects("pods", namespace), self.objects("events", namespace)
        except (ClusterError, InterruptedRunError):
            return []
        return diagnosis.findings(pods, events)

    def explained(
        self, error: ClusterError, namespace: str, seen: Sequence[diagnosis.Finding] = ()
    ) -> ClusterError:
        """The error with what is, or was ``seen``, of the namespace's pods; its id is that of their cause.

        A Helm that rolls back takes the pods away that tell why, so whoever waits for one looks meanwhile.
        """
        if error.id not in ("release-timeout", "cluster-refused", "migrations-failed"):
            return error
        found = list(seen) or self.diagnose(namespace)
        if not found:
            return error
        first = found[0]
        return ClusterError(
            error.id if error.id == "migrations-failed" else first.id,
            f"{error.message}: {first}",
            hint=first.hint,
            details=(*(f"{one} ({one.hint})" for one in found[1:]), *error.details),
        )


def _what(argv: Sequence[str]) -> str:
    """`helm upgrade renec`, say: a command line without its program's path and its options."""
    words = [argv[0].rpartition("/")[2]]
    rest = iter(argv[1:])
    for word in rest:
        if word in ("--context", "--kubeconfig", "--kube-context"):
            next(rest, None)
        elif word.startswith("-"):
            break
        else:
            words.append(word)
    return " ".join(words[:4])
