"""What the webhook form holds, and what that means."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from novapulse.core.errors import InvalidError
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.schemas import MASK, RetryIn, WebhookCreate, WebhookView
from novapulse.webhooks.screens import typed

ODD = {
    "name": " spaces \n and a line ",
    "description": "two\r\nlines\n",
    "tenant": "acme/eu",
    "event_types": ["*", "invoice.paid", "invoice.*"],
    "headers": {"X-Odd": " a, b: c ", "Authorization": MASK},
    "rate_limit": 1234.5678,
    "timeout_s": 1.25,
    "retry": RetryIn(schedule_s=[0, 0, 0.1, 1 / 3, 123_456.789]),
    "ordered": True,
}


def view(**fields: Any) -> WebhookView:
    plain: dict[str, Any] = {
        "id": "wh_1",
        "name": "",
        "url": "https://example.com/?a=b%20c",
        "description": "",
        "tenant": None,
        "event_types": ["*"],
        "headers": {},
        "rate_limit": None,
        "timeout_s": 15.0,
        "retry": RetryIn(schedule_s=list(DEFAULT_SCHEDULE_S)),
        "ordered": False,
        "status": "active",
        "disabled_reason": None,
        "health": "idle",
        "demo": False,
        "created_at": "",
        "updated_at": "",
    }
    return WebhookView(**plain | fields)


def as_sent(shown: typed.Typed) -> dict[str, str]:
    """What a browser makes of it: one line where there is room for one, JSON, a switch that says nothing when off."""
    texts = {name: shown[name].replace("\r\n", "\n") for name in typed.TEXTS}
    texts |= {name: text.replace("\n", "") for name, text in texts.items() if name != "description"}
    lists = {name: orjson.dumps(shown[name]).decode() for name in ("event_types", "headers")}
    return texts | lists | ({"ordered": "on"} if shown["ordered"] else {})


@pytest.mark.parametrize("webhook", [view(), view(**ODD)], ids=["plain", "odd"])
def test_what_nobody_touched_is_no_change(webhook: WebhookView) -> None:
    shown = typed.of_webhook(webhook)
    assert typed.changes(typed.of_form(as_sent(shown)), shown) == []


def test_only_what_was_touched_is_sent() -> None:
    shown = typed.of_webhook(view(**ODD))
    now = typed.of_form(as_sent(shown) | {"timeout_s": "20", "ordered": ""})
    changed = typed.changes(now, shown)
    assert typed.to_data(now, changed) == {"timeout_s": 20, "ordered": False}


def test_an_odd_webhook_typed_in_again_means_the_same() -> None:
    data = typed.to_data(typed.of_form(as_sent(typed.of_webhook(view(**ODD)))), typed.FIELDS)
    assert data["headers"] == ODD["headers"]
    assert data["event_types"] == ODD["event_types"]
    assert (data["rate_limit"], data["timeout_s"], data["ordered"]) == (1234.5678, 1.25, True)
    assert data["retry"]["schedule_s"] == pytest.approx([0, 0, 0.1, 1 / 3, 123_456.789])


def test_the_empty_form_with_a_url_makes_a_webhook_of_defaults() -> None:
    form = as_sent(typed.empty()) | {"url": " https://example.com/ "}
    made = WebhookCreate.model_validate(typed.to_data(typed.of_form(form), typed.FIELDS))
    assert made == WebhookCreate(url="https://example.com/")


def test_all_that_is_wrong_is_told_at_once() -> None:
    form = {
        "url": "",
        "name": "n" * 201,
        "tenant": "a b",
        "timeout_s": "31",
        "rate_limit": "many",
        "retry": "soon",
        "event_types": '["in..voice"]',
        "headers": '[{"name":"","value":"x"}]',
    }
    with pytest.raises(InvalidError) as caught:
        typed.to_data(typed.of_form(form), typed.FIELDS)
    assert {error.pointer.split("/")[1] for error in caught.value.errors} == set(form)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}], "given twice"),
        ([{"name": " ", "value": "1"}], "needs a name"),
        ([{"name": "Host", "value": "1"}], "set by NovaPulse"),
    ],
)
def test_wrong_headers_are_refused(rows: list[dict[str, str]], says: str) -> None:
    form = {"headers": orjson.dumps(rows).decode()}
    with pytest.raises(InvalidError, match=says):
        typed.to_data(typed.of_form(form), ["headers"])


def test_empty_rows_of_headers_count_for_nothing() -> None:
    form = {"headers": '[{"name":"","value":""},{"name":"X-A","value":""}]'}
    assert typed.to_data(typed.of_form(form), ["headers"]) == {"headers": {"X-A": ""}}


@pytest.mark.parametrize("sent", ["[", "{}", "[1]", '"*"', "[null]", "[" + ",".join(['"a"'] * 300) + "]"])
def test_what_no_form_sends_is_refused(sent: str) -> None:
    with pytest.raises(InvalidError):
        typed.of_form({"event_types": sent})


@pytest.mark.parametrize("sent", ['[{"name":"a"}]', '[["a","b"]]', '[{"name":1,"value":"b"}]'])
def test_what_are_no_rows_is_refused(sent: str) -> None:
    with pytest.raises(InvalidError):
        typed.of_form({"headers": sent})


def test_texts_of_other_kinds_and_half_characters_do_no_harm() -> None:
    now = typed.of_form({"name": 5, "description": "\ud800", "url": None, "tenant": ["x"]})
    assert (now["name"], now["description"], now["url"]) == ("5", "?", "")
