"""What can be done in the background: each task has a name, a queue, a payload that is checked, and rules for failing.

    class Greeting(BaseModel):
        name: str

    @task("greet", queue="workflow", payload=Greeting, max_attempts=3)
    async def greet(job: JobContext, payload: Greeting) -> dict[str, str]:
        await job.log(f"greeting {payload.name}")
        return {"said": f"Hello {payload.name}"}

A task may run more than once: it is repeated after a failure, and after the death of its worker.
"""

from __future__ import annotations

import importlib
import random as _random
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import FieldError, InvalidError
from novapulse.core.runtime import Runtime

QueueName = Literal["email", "webhook", "workflow", "report"]
P = TypeVar("P", bound=BaseModel)
_DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failed attempt: doubling from `first_s` to `max_s`, each time with jitter."""

    first_s: float = 5.0
    max_s: float = 3600.0
    jitter: float = 0.2  # a random part of it that is added or taken away, so that what failed together parts

    def after(self, attempts: int, random: Callable[[], float] = _random.random) -> float:
        """Seconds to wait after this many attempts (1 or more)."""
        wait_s = min(self.max_s, self.first_s * 2.0 ** min(attempts - 1, 40))
        return min(_DAY_S, wait_s * (1 + self.jitter * (2 * random() - 1)))


class JobContext(Protocol):
    """What a task is told of the job it runs as, and what it may say of itself."""

    rt: Runtime
    id: str
    attempt: int  # 1 for the first
    created_by: str
    tenant: str | None
    worker: str

    async def log(self, line: str, level: str = "info") -> None:
        """Write a line to the job's log, which people read."""
        ...

    def progress(self, done: float, text: str = "") -> None:
        """Say how far it is, from 0 to 1. Cheap: written at most once a second."""
        ...


class RetryLater(Exception):  # noqa: N818 - it asks for something, it is no error of the task
    """Raised by a task: failed for now, to be tried again after `after_s`, or by its backoff if that is None."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class GiveUp(Exception):  # noqa: N818
    """Raised by a task: failed for good, another attempt would change nothing."""


class PutOff(Exception):  # noqa: N818
    """Raised by a task: nothing is wrong, it goes on after `after_s`; that was no attempt."""

    def __init__(self, why: str, after_s: float) -> None:
        super().__init__(why)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of job."""

    name: str
    queue: QueueName
    payload: type[BaseModel]
    run: Callable[[JobContext, Any], Awaitable[Any]]
    about: str  # the first line of its docstring
    max_attempts: int
    timeout_s: float
    backoff: Backoff
    api: bool  # anybody with the permission may ask for it by name; else only the service that owns it does
    needs: Collection[Permission] | Callable[[Any], Collection[Permission]] = ()

    def needs_of(self, payload: BaseModel | str) -> frozenset[Permission]:
        """What somebody must be allowed, besides `jobs:write`, to have a job with this payload (or its JSON) run."""
        if not callable(self.needs):
            return frozenset(self.needs)
        if isinstance(payload, str):
            try:
                payload = self.payload.model_validate_json(payload)
            except ValidationError:
                return frozenset()  # it does not fit this version of the task, and ends when it is run
        return frozenset(self.needs(payload))

    def check(self, payload: object) -> BaseModel:
        """The payload as its model.

        Raises:
            InvalidError: it is not one; says where.
        """
        try:
            return self.payload.model_validate(payload)
        except ValidationError as error:
            places = [
                FieldError("/payload" + "".join(f"/{part}" for part in each["loc"]), each["msg"])
                for each in error.errors(include_url=False, include_input=False)
            ]
            raise InvalidError(places) from None


TASKS: dict[str, Task] = {}


def task(
    name: str,
    *,
    queue: QueueName,
    payload: type[P],
    max_attempts: int = 5,
    timeout_s: float = 300.0,
    backoff: Backoff | None = None,
    api: bool = False,
    needs: Collection[Permission] | Callable[[P], Collection[Permission]] = (),
) -> Callable[[Callable[[JobContext, P], Awaitable[Any]]], Callable[[JobContext, P], Awaitable[Any]]]:
    """Declare a task. Its result must be JSON.

    Who makes a job of it, or has one run again, needs `jobs:write` and `needs`, which may depend on the payload.
    """

    def declare(run: Callable[[JobContext, P], Awaitable[Any]]) -> Callable[[JobContext, P], Awaitable[Any]]:
        if name in TASKS and TASKS[name].run.__module__ != run.__module__:
            raise ValueError(f"two tasks are named '{name}'")
        about = (run.__doc__ or "").strip().partition("\n")[0]
        TASKS[name] = Task(name, queue, payload, run, about, max_attempts, timeout_s, backoff or Backoff(), api, needs)
        return run

    return declare


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        InvalidError: there is none.
    """
    found = TASKS.get(name)
    if found is None:
        raise InvalidError.at(
            "/task", f"there is no task '{name[:100]}'; there are {', '.join(sorted(TASKS)) or 'none'}"
        )
    return found


def require_needs(actor: Actor, task_name: str, payload: BaseModel | str) -> None:
    """Check that an actor may have a job with this payload run.

    Raises:
        ForbiddenError: it does what the actor may not.
    """
    task = TASKS.get(task_name)
    for permission in sorted(() if task is None else task.needs_of(payload)):
        actor.require(permission)


def load_tasks(modules: Iterable[str]) -> None:
    """Import the modules that declare tasks.

    Raises:
        ImportError: one of them cannot be imported.
    """
    for module in modules:
        importlib.import_module(module)
