"""What crosses the API about workflows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from novapulse.workflows.source import SOURCE_MAX

RunStateIn = Literal["running", "completed", "failed", "cancelled"]
TriggerIn = Literal["hand", "api", "event", "schedule"]
Tenant = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]
EXAMPLE: dict[str, Any] = {
    "name": "Welcome a customer",
    "triggers": [{"event": "customer.created"}],
    "steps": [
        {
            "id": "mail",
            "type": "email",
            "to": "{{ input.email }}",
            "subject": "Welcome, {{ input.name }}",
            "text": "Good to have you.",
        },
        {"id": "pause", "type": "wait", "seconds": 86_400},
        {"id": "tell", "type": "webhook_event", "event_type": "customer.welcomed", "data": {"id": "{{ input.id }}"}},
    ],
}


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        # NUL is not text for Postgres. The API's parser refuses it, but screens have no parser.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not hold the character NUL")
        return value


class DefinitionIn(_Input):
    """A definition: its fields, or all of it as a text."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    name: Any = Field(None, description="What people call it.")
    description: Any = None
    triggers: Any = Field(None, description="Event patterns and times that start it: `{event, if?}`, `{cron, ...}`.")
    steps: Any = Field(None, description="What it does; see the guide to workflows for each type of step.")
    source: Annotated[str, StringConstraints(max_length=SOURCE_MAX)] | None = Field(
        None, description="In place of the fields above: all of it as YAML or JSON. Errors then name the line."
    )


class WorkflowIn(DefinitionIn):
    """A workflow to be made."""

    tenant: Tenant | None = None
    enabled: bool = Field(True, description="Whether its triggers start runs.")


class WorkflowPut(DefinitionIn):
    """A new version of a workflow."""

    enabled: bool | None = Field(None, description="Null: as it is.")
    expected_version: int | None = Field(None, description="The version that was changed: 409 if there is a newer one.")


class EnabledIn(_Input):
    """Whether triggers start runs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    enabled: bool


class SecretIn(_Input):
    """A secret for http steps."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"value": "example"}]})

    value: Annotated[str, StringConstraints(min_length=1, max_length=4_096)]


class RunIn(_Input):
    """What a run is given."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"input": {"id": "cus_1", "email": "ada@example.com"}}]}
    )

    input: dict[str, Any] = Field(default_factory=dict[str, Any], description="Steps find it as `input`.")


class ErrorView(BaseModel):
    """One thing that is wrong with a definition."""

    pointer: str = Field(description="Where, as a JSON pointer into the definition.")
    line: int | None = Field(description="Where in the source, if there is one.")
    detail: str


class ValidationView(BaseModel):
    """Whether a definition could be saved."""

    valid: bool
    errors: list[ErrorView]
    steps: int = Field(description="How many, with those inside of others.")


class LastRun(BaseModel):
    """The newest run of a workflow."""

    id: str
    state: RunStateIn
    created_at: str


class WorkflowView(BaseModel):
    """A workflow, as in a list."""

    id: str
    name: str
    description: str
    tenant: str | None
    enabled: bool
    version: int
    triggers: list[dict[str, Any]]
    running: int = Field(description="Runs that are not over.")
    completed_24h: int
    failed_24h: int
    last_run: LastRun | None
    created_by: str
    created_at: str
    updated_at: str


class SecretView(BaseModel):
    """A secret, without its value."""

    name: str
    used: bool = Field(description="Whether the definition uses it.")
    set: bool
    created_at: str | None
    created_by: str | None


class VersionView(BaseModel):
    """A definition as it was saved."""

    version: int
    created_by: str
    created_at: str


class WorkflowDetail(WorkflowView):
    """A workflow with its definition."""

    source: str
    definition: dict[str, Any]
    versions: list[VersionView]
    secrets: list[SecretView]
    permissions: list[str] = Field(description="What its steps need, and who saves it must have.")


class RunView(BaseModel):
    """A run, as in a list."""

    id: str
    workflow_id: str
    workflow: str
    version: int
    tenant: str | None
    state: RunStateIn
    trigger: TriggerIn
    error: str | None
    failed_step: str | None
    created_by: str
    created_at: str
    finished_at: str | None
    duration_s: float | None


class StepView(BaseModel):
    """A step of a run."""

    key: str
    step_id: str
    type: str
    state: Literal["running", "waiting", "completed", "failed", "skipped", "cancelled"]
    input: Any
    output: Any
    error: str | None
    attempts: int = Field(description="That were begun.")
    job_id: str | None
    job_state: str | None
    wake_at: str | None
    created_at: str
    finished_at: str | None


class RunDetail(RunView):
    """A run with everything it did."""

    input: Any
    event: dict[str, Any] | None
    steps: list[StepView]
    definition: dict[str, Any]
