"""What the acts of a workflow do outside of it, each so that doing it again does nothing more.

An event carries the step's own id, by which its repetition is known. E-mails and reports are made in the transaction
that ends the step. An HTTP request carries an `Idempotency-Key`; whether its receiver heeds it is its own affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core import exact, trace
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, FieldError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.core.version import VERSION
from novapulse.jobs.enqueue import kick
from novapulse.jobs.tasks import PutOff
from novapulse.mail.schemas import EmailIn
from novapulse.mail.service import Message, queue_mail
from novapulse.mail.templates_store import Filled, fill, find_template, sources_of
from novapulse.reports import service as reports
from novapulse.reports.asked import READS, range_of
from novapulse.reports.schemas import ReportIn
from novapulse.webhooks import ingest
from novapulse.webhooks.guard import Guard, RefusedDestinationError
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.schemas import EventIn
from novapulse.webhooks.sender import Sender
from novapulse.workflows.definition import (
    ACT_TYPES,
    Act,
    Definition,
    EmailStep,
    EventTrigger,
    HttpStep,
    ReportStep,
    WebhookEventStep,
    all_steps,
)
from novapulse.workflows.expressions import expressions_in
from novapulse.workflows.plan import MASKED, act_input

_LOOK_EVERY_S = 2.0  # whether a report is there
_BODY_KEPT = 16 * 1024
_AGAIN = (408, 409, 425, 429)  # refusals that another attempt may overcome
_OWN_NAMES = {"/type": "/event_type"}  # of fields that are called otherwise where they go
_LASTING = (ErrorCode.REFUSED_DESTINATION, ErrorCode.REDIRECT)


class ActFailedError(Exception):
    """The act failed; `final`: another attempt would change nothing."""

    def __init__(self, why: str, *, final: bool = False, after_s: float | None = None) -> None:
        super().__init__(why)
        self.final = final
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Doing:
    """One act that is to be done."""

    run_id: str
    key: str
    actor: Actor
    step: Act
    input: Mapping[str, Any]  # as it was recorded
    output: Any  # what an earlier attempt left
    secrets: Mapping[str, str]  # those of the workflow, for http steps
    problem: Exception | None = None  # why it cannot be done at all: a secret that is not set

    @property
    def once_id(self) -> str:
        """The same for every attempt at this step of this run."""
        tail = self.key if len(self.key) <= 80 else hashlib.sha256(self.key.encode()).hexdigest()[:32]
        return f"{self.run_id}.{tail}"


@dataclass(frozen=True, slots=True)
class Done:
    """What an act came to: its output, or what gives it within the transaction that ends the step."""

    output: Any = None
    within: Callable[[AsyncSession], Awaitable[Any]] | None = None
    over: bool = True  # False: done so far, to be asked again
    after: Callable[[Any], Awaitable[None]] | None = None  # with the output, after the commit


_NEEDS: dict[str, tuple[Permission, ...]] = {
    "webhook_event": (Permission.EVENTS_WRITE,),
    "email": (Permission.EMAILS_WRITE,),
    "report": (Permission.REPORTS_WRITE, Permission.REPORTS_READ),
    "http": (Permission.WEBHOOKS_WRITE,),
}


def permissions_of(definition: Definition) -> frozenset[Permission]:
    """What a workflow does needs these: who saves it has to have them, and it has no others when it runs."""
    found: set[Permission] = set()
    for _, step in all_steps(definition.steps):
        found.update(_NEEDS.get(step.type, ()))
        if isinstance(step, ReportStep):
            found.add(READS[step.kind])
    if any(isinstance(trigger, EventTrigger) for trigger in definition.triggers):
        found.add(Permission.EVENTS_READ)
    return frozenset(found)


def wrong_in(rt: Runtime, definition: Definition) -> Iterator[FieldError]:
    """What a service would refuse of the acts that are written out, without `{{ }}`: told when they are saved."""
    for place, step in all_steps(definition.steps):
        if not isinstance(step, ACT_TYPES):
            continue
        given = act_input(step, {}) if not any(expressions_in(step.model_dump(by_alias=True))) else None
        try:
            if isinstance(step, HttpStep) and "{{" not in step.url:
                Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports).check_url(step.url)
            elif given is not None:
                _taken(step, given)
        except RefusedDestinationError as error:
            yield FieldError(f"{place}/url", str(error))
        except InvalidError as error:
            yield from (FieldError(f"{place}{_OWN_NAMES.get(e.pointer, e.pointer)}", e.detail) for e in error.errors)


def _taken(step: Act, given: Mapping[str, Any]) -> None:
    if isinstance(step, WebhookEventStep):
        _event_in(given, None)
    elif isinstance(step, EmailStep):
        _email_in(given)
    elif isinstance(step, ReportStep):
        range_of(_report_in(given).params, now_ms())


def _event_in(given: Mapping[str, Any], id_: str | None) -> EventIn:
    return _valid(EventIn, {"type": given["event_type"], "data": given.get("data"), "id": id_})


def _email_in(given: Mapping[str, Any]) -> EmailIn:
    return _valid(EmailIn, {name: value for name, value in given.items() if name != "context" or "template" in given})


def _report_in(given: Mapping[str, Any]) -> ReportIn:
    return _valid(ReportIn, {name: given[name] for name in ("kind", "format", "params")})


async def do(rt: Runtime, doing: Doing) -> Done:
    """Do it.

    Raises:
        ActFailedError: it failed.
        ProblemError: a service refused.
        PutOff: it goes on by itself, to be asked again later.
    """
    return await _DOERS[doing.step.type](rt, doing)


async def _event(rt: Runtime, doing: Doing) -> Done:
    event = _event_in(doing.input, doing.once_id)
    try:
        accepted = await ingest.accept(rt, doing.actor, event)
    except ConflictError as error:
        raise ActFailedError(error.detail, final=True) from error
    return Done({"event_id": accepted.id, "deliveries": accepted.deliveries})


async def _email(rt: Runtime, doing: Doing) -> Done:
    mail = _email_in(doing.input)

    async def add(session: AsyncSession) -> dict[str, Any]:
        made = Filled(mail.subject or "", mail.text or "", mail.html or "")
        if mail.template is not None:
            template = await find_template(session, doing.actor.tenant, mail.template)
            if template is None:
                raise InvalidError.at("/template", f"there is no template '{mail.template}'")
            filled = fill(sources_of(template), mail.context or {})
            made = Filled(mail.subject or filled.subject, filled.text, filled.html)
        first, *also = mail.recipients()
        message = Message(first, "message", made.subject, made.text, made.html, also)
        email_id = await queue_mail(
            rt,
            session,
            message,
            private=False,
            tenant=doing.actor.tenant,
            created_by=doing.actor.name,
            template=mail.template,
            parent_id=doing.run_id,
        )
        return {"email_id": email_id, "to": mail.recipients()}

    return Done(within=add)


async def _report(rt: Runtime, doing: Doing) -> Done:
    made = doing.output.get("report_id") if isinstance(doing.output, dict) else None
    if made is None:
        given = _report_in(doing.input)

        async def add(session: AsyncSession) -> dict[str, Any]:
            report_id, job_id = await reports.add_report(session, doing.actor, given, parent_id=doing.run_id)
            return {"report_id": report_id, "job_id": job_id}

        async def begin(output: Any) -> None:
            await kick(rt, "report", [output["job_id"]])

        return Done(within=add, over=False, after=begin)
    report = await reports.get_report(rt, doing.actor, made)
    if report.status in ("queued", "making"):
        raise PutOff(f"The report {made} is being made.", _LOOK_EVERY_S)
    if report.status != "ready":
        raise ActFailedError(f"The report {made} is {report.status}: {report.error or 'no reason given'}", final=True)
    return Done({"report_id": made, "rows": report.rows, "bytes": report.bytes, "format": report.format})


class _Out:
    """The HTTP client of this process's workflows. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        guard = Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports)
        self.sender = Sender(guard, user_agent=f"NovaPulse/{VERSION}")


async def _http(rt: Runtime, doing: Doing) -> Done:
    step = doing.step
    assert isinstance(step, HttpStep)
    given = doing.input
    headers = {name.lower(): str(value) for name, value in (given.get("headers") or {}).items()}
    body = b""
    if given.get("json") is not None:
        headers.setdefault("content-type", "application/json")
        body = exact.dumps(given["json"]).encode()
    elif given.get("body") is not None:
        headers.setdefault("content-type", "text/plain; charset=utf-8")
        body = str(given["body"]).encode()
    headers.setdefault("idempotency-key", doing.once_id)
    headers.setdefault("traceparent", trace.traceparent(trace.here()))
    sender = rt.part(_Out).sender
    outcome = await sender.post(str(given["url"]), body, headers, step.timeout_s, method=str(given["method"]))
    if not outcome.ok:
        status = outcome.status_code or 0
        final = outcome.error in _LASTING or (400 <= status < 500 and status not in _AGAIN)
        why = _hidden(outcome.error_detail or str(outcome.error), doing.secrets)
        said = _hidden(outcome.response_body, doing.secrets)[:300]  # not the half of one, that nothing would find
        raise ActFailedError(f"{why} {said}".strip(), final=final, after_s=outcome.retry_after_s)
    return Done(_answer(outcome, doing.secrets))


def _answer(outcome: Outcome, secrets: Mapping[str, str]) -> dict[str, Any]:
    try:
        read = None if outcome.response_truncated else exact.loads(outcome.response_body)
    except ValueError:
        read = None
    kind = outcome.response_headers.get("content-type", "")
    found: dict[str, Any] = {"status": outcome.status_code, "content_type": _hidden(kind, secrets), "json": None}
    if read is None:
        found["body"] = _hidden(outcome.response_body, secrets)[:_BODY_KEPT]
    else:
        # As it is read: how JSON writes a text may hide a secret from who looks for it.
        found |= {"json": _hidden_in(read, secrets), "body": None}
    return found


def _hidden(text: str, secrets: Mapping[str, str]) -> str:
    """A text that a receiver sent, without the secrets that it may have sent back."""
    for value in secrets.values():
        if len(value) >= 4:
            text = text.replace(value, MASKED)
    return text


def _hidden_in(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _hidden(value, secrets)
    if isinstance(value, list):
        return [_hidden_in(each, secrets) for each in value]
    if isinstance(value, dict):
        return {_hidden(name, secrets): _hidden_in(each, secrets) for name, each in value.items()}
    return value


def _valid(model: type[Any], value: Any) -> Any:
    """A value as what a service takes.

    Raises:
        InvalidError: it is not one, with the place.
    """
    assert issubclass(model, BaseModel)
    try:
        return model.model_validate_json(exact.dumps(value))
    except ValidationError as error:
        places = error.errors(include_url=False, include_input=False)
        raise InvalidError(
            [FieldError("".join(f"/{part}" for part in each["loc"]), each["msg"]) for each in places]
        ) from None


_DOERS: dict[str, Callable[[Runtime, Doing], Awaitable[Done]]] = {
    "webhook_event": _event,
    "email": _email,
    "report": _report,
    "http": _http,
}
