"""The runs of an environment's journal, kept beside its Terraform state: one object each, by the run's id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from renecinfra.errors import ToolError
from renecinfra.platforms.aws.faults import code_of
from renecinfra.platforms.aws.state import StateStore

_PREFIX: Final = ".runs/"
_READERS: Final = 8


class StateRuns:
    """Runs in the state's bucket. Ids begin with the time, so that their order is that of the runs."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def put(self, run: str, text: str) -> bool:
        """Keep a run's lines as they are now; False where the bucket is not there yet.

        Raises:
            ToolError: AWS refuses.
        """
        try:
            self._state.put_beside(f"{_PREFIX}{run}.jsonl", text.encode())
        except ToolError as error:
            if _no_bucket(error):
                return False
            raise
        return True

    def newest(self, limit: int) -> list[str]:
        """The lines of the newest runs, the newest run first; none where the bucket is not there.

        Raises:
            ToolError: AWS refuses.
        """
        try:
            names = self._state.beside(_PREFIX)[::-1][:limit]
        except ToolError as error:
            if _no_bucket(error):
                return []
            raise
        with ThreadPoolExecutor(_READERS, thread_name_prefix="runs") as pool:
            return [body.decode(errors="replace") for body in pool.map(self._state.read_beside, names)]


def _no_bucket(error: ToolError) -> bool:
    return error.__cause__ is not None and code_of(error.__cause__) in ("404", "NoSuchBucket")
