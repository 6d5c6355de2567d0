"""What a workflow is: the shape of a definition. What steps say of each other is checked in `check`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from novapulse.webhooks.matching import check_pattern

STEPS_MAX = 100  # of a definition, with those inside of others
ITEMS_MAX = 1_000  # of a loop
WAIT_MAX_S = 366 * 24 * 3600.0
_ID = r"^[a-z][a-z0-9_]{0,39}$"

StepId = Annotated[str, Field(pattern=_ID, description="Lower-case letters, digits and '_'; unique in the workflow.")]
Template = Annotated[str, Field(max_length=16_384)]
ShortTemplate = Annotated[str, Field(min_length=1, max_length=2_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class _Step(_Strict):
    id: StepId
    name: str = Field("", max_length=100, description="For people.")
    needs: list[StepId] | None = Field(
        None, max_length=STEPS_MAX, description="Steps beside it that come before; left out: the one above it."
    )
    if_: str | None = Field(None, alias="if", max_length=520, description="An expression; false: the step is skipped.")
    on_error: Literal["fail", "continue"] = Field("fail", description="continue: the run goes on without this step.")

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.id


class _Act(_Step):
    """A step that does something outside, and may fail."""

    retries: int = Field(3, ge=0, le=20)
    backoff_s: float = Field(5.0, ge=0.1, le=3600, description="After the first failure; doubling.")
    timeout_s: float = Field(30.0, ge=1, le=3600)


class WebhookEventStep(_Act):
    """Send an event to the webhooks that take its type."""

    type: Literal["webhook_event"]
    event_type: ShortTemplate
    data: Any = Field(default_factory=dict[str, Any])


class EmailStep(_Act):
    """Send an e-mail. It is done when the e-mail is queued: the queue `email` sends it, and tries again."""

    type: Literal["email"]
    to: ShortTemplate | Annotated[list[ShortTemplate], Field(min_length=1, max_length=20)]
    subject: ShortTemplate | None = None
    text: Template | None = None
    html: Template | None = None
    template: str | None = Field(None, max_length=100, description="A stored template, in place of subject and text.")
    context: dict[str, Any] = Field(default_factory=dict[str, Any], description="For the template.")

    @model_validator(mode="after")
    def _has_content(self) -> EmailStep:
        if self.template is None and (self.subject is None or (self.text is None and self.html is None)):
            raise ValueError("needs a subject and a text or html, or a template")
        return self


class ReportStep(_Act):
    """Make a report, and wait until it is there."""

    type: Literal["report"]
    kind: Literal["deliveries", "endpoints", "queues", "audit"]
    format: Literal["pdf", "csv", "xlsx"] = "csv"
    params: dict[str, Any] = Field(default_factory=dict[str, Any])
    timeout_s: float = Field(600.0, ge=1, le=3600)


class HttpStep(_Act):
    """Call an address. Private networks are refused, as for webhooks; redirects are not followed."""

    type: Literal["http"]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: ShortTemplate
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")], Template] = Field(
        default_factory=dict[str, str], max_length=30
    )
    json_: Any = Field(None, alias="json", description="The body, as JSON.")
    body: Template | None = Field(None, description="The body, as it is.")

    @model_validator(mode="after")
    def _has_one_body(self) -> HttpStep:
        if self.json_ is not None and self.body is not None:
            raise ValueError("takes json or body, not both")
        return self


class WaitStep(_Step):
    """Wait for a time, or until one. No worker is held."""

    type: Literal["wait"]
    seconds: float | ShortTemplate | None = None
    until: ShortTemplate | None = Field(None, description="An RFC 3339 time.")

    @model_validator(mode="after")
    def _has_one(self) -> WaitStep:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("takes seconds or until")
        return self

    @field_validator("seconds")
    @classmethod
    def _in_bounds(cls, seconds: float | str | None) -> float | str | None:
        if isinstance(seconds, (int, float)) and not 0 <= seconds <= WAIT_MAX_S:
            raise ValueError(f"from 0 to {WAIT_MAX_S:.0f} (a year)")
        return seconds


class ConditionStep(_Step):
    """Do the one or the other."""

    type: Literal["condition"]
    if_: str = Field(alias="if", min_length=1, max_length=520)  # pyright: ignore[reportIncompatibleVariableOverride]
    then: list[Step] = Field(min_length=1)
    else_: list[Step] = Field(default_factory=list["Step"], alias="else")


class ParallelStep(_Step):
    """Do several lists of steps at the same time."""

    type: Literal["parallel"]
    branches: list[Annotated[list[Step], Field(min_length=1)]] = Field(min_length=2, max_length=20)


class LoopStep(_Step):
    """Do steps once for each item, in which they find `item` and `index`."""

    type: Literal["loop"]
    items: ShortTemplate | Annotated[list[Any], Field(max_length=ITEMS_MAX)]
    steps: list[Step] = Field(min_length=1)
    at_once: int = Field(1, ge=1, le=20, description="How many items are worked on at the same time.")


Step = Annotated[
    WebhookEventStep | EmailStep | ReportStep | HttpStep | WaitStep | ConditionStep | ParallelStep | LoopStep,
    Field(discriminator="type"),
]
Act = WebhookEventStep | EmailStep | ReportStep | HttpStep
Container = ConditionStep | ParallelStep | LoopStep
ACT_TYPES = (WebhookEventStep, EmailStep, ReportStep, HttpStep)
CONTAINER_TYPES = (ConditionStep, ParallelStep, LoopStep)
STEP_TYPES = ("webhook_event", "email", "report", "http", "wait", "condition", "parallel", "loop")


class EventTrigger(_Strict):
    """Starts a run for each event of a type, once, in the transaction that takes the event in."""

    event: str = Field(description="A type, 'invoice.*' for all below it, or '*'.")
    if_: str | None = Field(None, alias="if", max_length=520)

    @field_validator("event")
    @classmethod
    def _is_pattern(cls, pattern: str) -> str:
        check_pattern(pattern)
        return pattern


class CronTrigger(_Strict):
    """Starts a run at times."""

    cron: str = Field(min_length=1, max_length=100)
    timezone: str = Field("UTC", max_length=64)
    input: dict[str, Any] = Field(default_factory=dict[str, Any])


class Definition(_Strict):
    """A workflow."""

    name: str = Field(min_length=1, max_length=100)
    description: str = Field("", max_length=2_000)
    triggers: list[EventTrigger | CronTrigger] = Field(
        default_factory=list["EventTrigger | CronTrigger"],
        max_length=10,
        description="What starts it, besides the API and people.",
    )
    steps: list[Step] = Field(min_length=1)


ConditionStep.model_rebuild()
ParallelStep.model_rebuild()
LoopStep.model_rebuild()
Definition.model_rebuild()

Lists = list[tuple[str, list[Step]]]


def lists_of(step: Any) -> Lists:
    """The lists of steps inside of a step, each with its place in it as a JSON pointer."""
    if isinstance(step, ConditionStep):
        return [("/then", step.then), ("/else", step.else_)]
    if isinstance(step, ParallelStep):
        return [(f"/branches/{number}", branch) for number, branch in enumerate(step.branches)]
    return [("/steps", step.steps)] if isinstance(step, LoopStep) else []


def all_steps(steps: list[Step], pointer: str = "/steps") -> Iterator[tuple[str, Any]]:
    """Every step with its place, those inside of others after the one they are in."""
    for number, step in enumerate(steps):
        place = f"{pointer}/{number}"
        yield place, step
        for inner, list_ in lists_of(step):
            yield from all_steps(list_, place + inner)


def needs_of(steps: list[Step], number: int) -> list[str]:
    """The steps that come before one, in its own list."""
    step = steps[number]
    if step.needs is not None:
        return step.needs
    return [steps[number - 1].id] if number else []
