"""The harvester as Celery runs it: its tasks, and what a worker does when it is ready.

``python -m celery -A renecinfra.reference.schedule worker|beat``. Tasks are acknowledged late: one whose
process is lost is delivered again, and takes over the run it had begun (see ``runs``).
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from typing import Any, Final, Literal

from celery import Task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_init, worker_ready

from renecinfra.reference.metrics import serve, share
from renecinfra.reference.queues import FRESHNESS, HARVEST, SOFT_LIMIT, enqueue, make_app
from renecinfra.reference.settings import load

_LOG = logging.getLogger(__name__)
_STARTED: Final = time.time()
_RETRIES: Final = 3
MAX_AGE: Final = 26 * 3600
"""Seconds after which the data is stale: a day, and two hours for the harvest itself."""
FIRST: Final = str(uuid.uuid5(uuid.NAMESPACE_URL, "renecinfra:first-harvest"))
"""The first harvest's task id: whoever asks for it, it is one."""
_FIRST_KEY: Final = "renecinfra:first-harvest"

# A line for every request would bury what matters; crawl_map has them all.
logging.getLogger("httpx").setLevel(logging.WARNING)

settings = load()
app = make_app(settings.redis_url)


@app.task(name=HARVEST["daily"], bind=True, max_retries=_RETRIES)  # type: ignore[untyped-decorator]
def daily_harvest(self: Task, first: bool = False) -> None:
    """Read what is new or has changed. ``first``: only if there has never been a whole harvest."""
    _harvest(self, "daily", first)


@app.task(name=HARVEST["full"], bind=True, max_retries=_RETRIES)  # type: ignore[untyped-decorator]
def weekly_full_harvest(self: Task) -> None:
    """Read every record again."""
    _harvest(self, "full", False)


def _harvest(task: Task, mode: Literal["daily", "full"], first: bool) -> None:
    from renecinfra.reference.harvest import run
    from renecinfra.reference.runs import Asker

    request = task.request
    try:
        outcome = run(settings, asker=Asker(request.id, request.hostname, _STARTED), mode=mode, first=first)
    except SoftTimeLimitExceeded:
        _LOG.error("the harvest was ended: it took longer than %s s", SOFT_LIMIT)
        return
    except Exception as error:
        raise task.retry(exc=error, countdown=30 * 2**request.retries) from error
    level = logging.ERROR if outcome.status == "failed" else logging.INFO
    _LOG.log(level, "harvest %s %s: %s", outcome.run_id or "-", outcome.status, outcome.detail)
    if outcome.status == "succeeded" and outcome.run_id is not None:
        _publish(outcome.run_id)
    if outcome.retry_in is not None and (outcome.status == "failed" or request.retries < _RETRIES):
        raise task.retry(exc=RuntimeError(outcome.detail), countdown=outcome.retry_in)


def _publish(run_id: int) -> None:
    from redis.exceptions import RedisError

    from renecinfra.reference.publishing import publish

    try:
        publish(settings.cache_url, run_id)
    except RedisError as error:
        _LOG.warning("cached answers stay for up to an hour: %s", type(error).__name__)


@app.task(name=FRESHNESS)  # type: ignore[untyped-decorator]
def freshness_check() -> None:
    """Say in the log whether the register's data is fresh."""
    from renecinfra.reference import runs, storage

    with storage.connect(settings.database_url) as connection:
        age = runs.age_of_last(connection)
    if age is None:
        _LOG.error("there has never been a whole harvest")
    else:
        level = logging.ERROR if age > MAX_AGE else logging.INFO
        _LOG.log(level, "the last whole harvest is %.1f hours old", age / 3600)


@app.task(  # type: ignore[untyped-decorator]
    name="renec.recover", autoretry_for=(Exception,), max_retries=10, retry_backoff=2
)
def recover(worker: str, before: float) -> None:
    """Queue again what ``worker`` was harvesting when it was lost, before it started at ``before``."""
    from renecinfra.reference import runs, storage

    with storage.connect(settings.database_url) as connection:
        for task_id, mode in runs.abandoned(connection, worker, before):
            _LOG.warning("queueing again a %s harvest whose worker was lost", mode)
            enqueue(app, mode, task_id)


@worker_init.connect  # type: ignore[untyped-decorator]
def _prepare(**_: object) -> None:
    """Share metrics, and load the spider once, before the children are forked."""
    share(os.getpid())

    import renecinfra.reference.harvest  # noqa: F401


@worker_ready.connect  # type: ignore[untyped-decorator]
def _on_ready(sender: Any, **_: object) -> None:
    """Serve metrics, look for work that this worker lost, and ask for the first harvest once."""
    if settings.metrics_port is not None:
        serve(settings.metrics_port)
    recover.apply_async((sender.hostname, _STARTED))
    if settings.first_harvest and _first_to_ask():
        daily_harvest.apply_async((True,), task_id=FIRST)


def _first_to_ask() -> bool:
    """Whether no other worker has asked within the hour; the mark lives, and is lost, with the queue."""
    import redis

    with redis.Redis.from_url(settings.redis_url, socket_timeout=5) as connection:
        return bool(connection.set(_FIRST_KEY, "1", nx=True, ex=3600))
