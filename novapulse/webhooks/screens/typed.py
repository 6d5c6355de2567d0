"""What the controls of the webhook form hold, and what that means: pure, so that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from novapulse.core.errors import FieldError, InvalidError
from novapulse.core.problems import from_validation
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.schemas import WebhookPatch, WebhookView
from novapulse.webhooks.screens import schedule

TEXTS = ("url", "name", "description", "tenant", "rate_limit", "timeout_s", "retry")
FIELDS = (*TEXTS, "event_types", "headers", "ordered")
DEFAULT_TIMEOUT_S = 15.0
_TEXT_MAX = 20_000
_LIST_MAX = 200

# By field: texts as str, event types as a list, headers as a list of name and value, ordered as a bool.
Typed = dict[str, Any]


def empty() -> Typed:
    """What the form for a new webhook begins with."""
    return dict.fromkeys(TEXTS, "") | {
        "timeout_s": schedule.plain(DEFAULT_TIMEOUT_S),
        "event_types": ["*"],
        "headers": [],
        "ordered": False,
    }


def of_webhook(webhook: WebhookView) -> Typed:
    """What the form shows of a webhook."""
    own_schedule = tuple(webhook.retry.schedule_s) != DEFAULT_SCHEDULE_S
    return {
        "url": webhook.url,
        "name": webhook.name,
        "description": webhook.description,
        "tenant": webhook.tenant or "",
        "rate_limit": "" if webhook.rate_limit is None else schedule.plain(webhook.rate_limit),
        "timeout_s": schedule.plain(webhook.timeout_s),
        "retry": schedule.write(webhook.retry.schedule_s) if own_schedule else "",
        "event_types": list(webhook.event_types),
        "headers": [{"name": name, "value": value} for name, value in webhook.headers.items()],
        "ordered": webhook.ordered,
    }


def of_form(form: Mapping[str, Any]) -> Typed:
    """What the browser sent.

    Raises:
        InvalidError: it is not what the form sends.
    """
    return {
        **{name: _text(form.get(name)) for name in TEXTS},
        "event_types": _list(form.get("event_types"), "event_types", lambda each: isinstance(each, str)),
        "headers": _list(form.get("headers"), "headers", _is_row),
        "ordered": bool(form.get("ordered")),
    }


def changes(now: Typed, before: Typed) -> list[str]:
    """The fields that a person changed. A field holds a text as it shows it: that alone is no change."""
    return [name for name in FIELDS if _as_shown(name, now[name]) != _as_shown(name, before[name])]


def to_data(typed: Typed, fields: Sequence[str]) -> dict[str, Any]:
    """These fields as the API takes them.

    Raises:
        InvalidError: at every field that cannot be read, or that the API would refuse.
    """
    data: dict[str, Any] = {}
    problems: list[FieldError] = []
    for name in fields:
        try:
            data[name] = _READ[name](typed[name])
        except ValueError as error:
            problems.append(FieldError(f"/{name}", str(error)))
    try:
        WebhookPatch.model_validate(data)
    except ValidationError as error:
        problems += from_validation(error.errors()).errors
    if problems:
        raise InvalidError(problems)
    return data


def _url(text: str) -> str:
    if not text.strip():
        raise ValueError("enter the URL that events are sent to")
    return text.strip()


def _number(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise ValueError("must be a number") from None


def _timeout(text: str) -> float:
    number = _number(text)
    return DEFAULT_TIMEOUT_S if number is None else number


def _patterns(patterns: list[str]) -> list[str]:
    if not patterns:
        raise ValueError("choose at least one event type, or every one")
    return patterns


def _headers(rows: list[dict[str, str]]) -> dict[str, str]:
    kept = [(row["name"].strip(), row["value"]) for row in rows if row["name"].strip() or row["value"]]
    names = [name.lower() for name, _ in kept]
    if "" in names:
        raise ValueError("each header needs a name")
    if twice := next((name for name, _ in kept if names.count(name.lower()) > 1), None):
        raise ValueError(f"the header '{twice}' is given twice")
    return dict(kept)


def _retry(text: str) -> dict[str, Any] | None:
    delays = schedule.parse(text)
    return None if delays is None else {"schedule_s": delays}


_READ: dict[str, Callable[[Any], Any]] = {
    "url": _url,
    "name": str.strip,
    "description": str.strip,
    "tenant": lambda text: text.strip() or None,
    "rate_limit": _number,
    "timeout_s": _timeout,
    "retry": _retry,
    "event_types": _patterns,
    "headers": _headers,
    "ordered": bool,
}


def _text(value: Any) -> str:
    # Half a surrogate pair, which no browser sends, could not be stored.
    return str(value or "")[:_TEXT_MAX].encode(errors="replace").decode()


def _list(value: Any, name: str, fits: Callable[[Any], bool]) -> list[Any]:
    try:
        found = orjson.loads(_text(value) or "[]")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or len(found) > _LIST_MAX or not all(fits(each) for each in found):
        raise InvalidError.at(f"/{name}", "cannot be read; load the page again")
    return found


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("name", "value"))


def _as_shown(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    return lines if name == "description" else lines.replace("\n", "")  # an input of one line drops line ends
