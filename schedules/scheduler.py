"""The schedule in a process, for where there is no cron: the jobs of `crontab`, in the window's zone.

Trouble: a job that finds database or broker away waits for them; while it does, no second one of its kind is started.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from actors import entry
from actors.waiting import PutBackError, until_available
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import connected
from schedules import check_health, publish_batch, sweep


def make_scheduler() -> BackgroundScheduler:
    """Return the schedule, not yet started; `shutdown()` ends it."""
    zone = settings().mail_window_timezone
    scheduler = BackgroundScheduler(
        timezone=zone, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60}
    )
    jobs: dict[Callable[[], Any], CronTrigger] = {
        publish: CronTrigger(minute="*/30", timezone=zone),
        sweep.sweep: CronTrigger(timezone=zone, second=0),
        check_health.check: CronTrigger(hour=23, minute=0, timezone=zone),
    }
    for job, trigger in jobs.items():
        scheduler.add_job(_job(job), trigger, name=job.__module__)
    return scheduler


def publish() -> None:
    """Publish a batch, and log how many steps and contacts were picked, or why none."""
    batch = publish_batch.publish()
    picked = {"steps": len(batch.enrolment_ids), "picked": len(batch.contact_ids)}
    log.info("batch", **picked, template_id=batch.template_id, reason=batch.reason)
    # Waited for here: a job that is begun again would pick others.
    until_available(partial(entry.publish, batch.handoffs))


def _job(run: Callable[[], Any]) -> Callable[[], None]:
    def job() -> None:
        try:
            until_available(connected(run))
        except PutBackError:
            log.info("stopped before it could run", job=run.__module__)
        except Exception as error:
            log.error("job failed", job=run.__module__, **described(error))

    return job
