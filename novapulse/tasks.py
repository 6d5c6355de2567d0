"""Every task there is: the modules that declare them, of NovaPulse and of whoever runs it."""

from __future__ import annotations

from novapulse.jobs.tasks import load_tasks
from novapulse.settings import Settings

_OURS: tuple[str, ...] = (
    "novapulse.jobs.bulk_task",
    "novapulse.jobs.http_task",
    "novapulse.mail.tasks",
    "novapulse.workflows.tasks",
    "novapulse.reports.tasks",
)


def load_all_tasks(settings: Settings) -> None:
    """Have every task known in this process.

    Raises:
        ImportError: a module of `NOVAPULSE_TASK_MODULES` cannot be imported.
    """
    load_tasks((*_OURS, *settings.task_modules))
