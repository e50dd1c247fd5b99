"""The Celery application and how a harvest is asked for. Importing it has no effect on the process."""

from __future__ import annotations

from typing import Final, Literal

from celery import Celery
from celery.schedules import crontab
from kombu.entity import Exchange, Queue

HARD_LIMIT: Final = 3600
SOFT_LIMIT: Final = 3000
HARVEST: Final = {"daily": "renec.daily_harvest", "full": "renec.weekly_full_harvest"}
FRESHNESS: Final = "renec.freshness_check"


def _queue(name: str) -> Queue:
    """A queue with an exchange of its own, as Celery makes them for ``--queues``."""
    return Queue(name, Exchange(name), routing_key=name)  # type: ignore[no-untyped-call]


def make_app(broker: str) -> Celery:
    """The application: two queues, the timetable, late acknowledgement."""
    app = Celery("renecinfra.reference", broker=broker)
    app.conf.update(
        beat_schedule={
            "daily-harvest": {"task": HARVEST["daily"], "schedule": crontab(hour=2, minute=0)},
            "freshness-check": {"task": FRESHNESS, "schedule": crontab(hour=6, minute=0)},
            "weekly-full-harvest": {
                "task": HARVEST["full"],
                "schedule": crontab(hour=3, minute=0, day_of_week="sunday"),
            },
        },
        broker_connection_retry_on_startup=True,
        # A message that is not acknowledged for this long is delivered again, so longer than any task.
        broker_transport_options={"visibility_timeout": 2 * HARD_LIMIT, "socket_connect_timeout": 5},
        task_acks_late=True,
        task_create_missing_queues=False,
        task_default_queue="monitoring",
        task_ignore_result=True,
        task_queues=[_queue("harvest"), _queue("monitoring")],
        task_reject_on_worker_lost=True,
        task_routes={"renec.*_harvest": {"queue": "harvest"}, "renec.*": {"queue": "monitoring"}},
        task_soft_time_limit=SOFT_LIMIT,
        task_time_limit=HARD_LIMIT,
        timezone="America/Mexico_City",
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
    )
    return app


def enqueue(app: Celery, mode: Literal["daily", "full"], task_id: str | None = None) -> str:
    """Queue a harvest; returns its task id. Raises kombu.exceptions.OperationalError without a broker."""
    # Not tried again here: who asks for a harvest is told that it was not queued.
    return str(app.send_task(HARVEST[mode], task_id=task_id, retry=False).id)
