"""What the API takes about webhooks: every refusal, and what is taken to its limit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from novapulse.webhooks import schemas
from novapulse.webhooks.schemas import RetryIn, RotateIn, WebhookCreate, WebhookPatch

INF, NAN = float("inf"), float("nan")
URL = "https://example.com/hook"
WEEK_S = 7 * 24 * 3600


def place_of_refusal(model: type[BaseModel], values: dict[str, Any]) -> str:
    """Where the first error is, e.g. `headers` or `event_types.0`."""
    with pytest.raises(ValidationError) as raised:
        model.model_validate(values)
    return ".".join(str(part) for part in raised.value.errors()[0]["loc"])


INPUTS: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (WebhookCreate, {"url": URL}),
    (WebhookPatch, {}),
    (RetryIn, {"schedule_s": [5]}),
    (RotateIn, {}),
    (schemas.TestIn, {}),
    (schemas.EventIn, {"type": "a.b", "data": {}}),
    (schemas.EventBatchIn, {"events": [{}]}),
    (schemas.EventTypeIn, {"name": "a.b"}),
    (schemas.EventTypePatch, {}),
]


@pytest.mark.parametrize(("model", "values"), INPUTS)
def test_a_field_that_nobody_knows_is_refused_not_ignored(model: type[BaseModel], values: dict[str, Any]) -> None:
    model.model_validate(values)
    assert place_of_refusal(model, values | {"surprise": 1}) == "surprise"


@pytest.mark.parametrize(("model", "values"), INPUTS)
@pytest.mark.parametrize("other", [None, [], "text", 5, True])
def test_what_is_no_object_is_refused(model: type[BaseModel], values: dict[str, Any], other: object) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(other)


WRONG: list[tuple[str, object]] = [
    ("url", ""),
    ("url", "x" * 2049),
    ("url", 5),
    ("url", [URL]),
    ("url", "https://example.com/\0"),
    ("url", "https://example.com/\ud800"),
    ("name", "x" * 201),
    ("name", 5),
    ("name", "a\0b"),
    ("name", "a\udfffb"),
    ("description", "x" * 2001),
    ("description", "\0"),
    ("tenant", ""),
    ("tenant", "x" * 129),
    ("tenant", "a b"),
    ("tenant", "a\n"),
    ("tenant", "ä"),
    ("tenant", "a\0"),
    ("event_types", []),
    ("event_types", ["a"] * 101),
    ("event_types", "a.b"),
    ("event_types", [5]),
    ("event_types", ["a."]),
    ("event_types", [""]),
    ("event_types", ["*", "a\0"]),
    ("headers", []),
    ("headers", {"A": 5}),
    ("headers", {"A": None}),
    ("rate_limit", 0),
    ("rate_limit", -1),
    ("rate_limit", 10_001),
    ("rate_limit", INF),
    ("rate_limit", NAN),
    ("rate_limit", "fast"),
    ("timeout_s", 0.9),
    ("timeout_s", 30.1),
    ("timeout_s", NAN),
    ("timeout_s", []),
    ("retry", []),
    ("retry", {}),
    ("retry", {"schedule_s": [5], "more": 1}),
    ("ordered", 5),
    ("ordered", "perhaps"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
@pytest.mark.parametrize("model", [WebhookCreate, WebhookPatch])
def test_a_wrong_value_is_refused_at_its_place_when_made_and_when_changed(
    field: str, value: object, model: type[BaseModel]
) -> None:
    assert place_of_refusal(model, {"url": URL} | {field: value}).split(".")[0] == field


@pytest.mark.parametrize("field", ["url", "name", "description", "event_types", "headers", "timeout_s", "ordered"])
def test_a_new_webhook_takes_no_null_where_a_value_belongs(field: str) -> None:
    assert place_of_refusal(WebhookCreate, {"url": URL, field: None}) == field


def test_a_new_webhook_needs_a_url_and_nothing_else() -> None:
    assert place_of_refusal(WebhookCreate, {}) == "url"
    made = WebhookCreate(url=URL)
    assert (made.event_types, made.timeout_s, made.ordered, made.tenant) == (["*"], 15, False, None)


def test_a_status_is_active_or_paused_and_never_set_to_disabled() -> None:
    assert WebhookPatch(status="paused").status == "paused"
    for status in ("disabled", "", "ACTIVE", 1):
        assert place_of_refusal(WebhookPatch, {"status": status}) == "status"
    assert place_of_refusal(WebhookCreate, {"url": URL, "status": "paused"}) == "status"


def test_every_value_is_taken_to_its_limit() -> None:
    made = WebhookCreate(
        url="x" * 2048,
        name="x" * 200,
        description="x" * 2000,
        tenant="aZ09._:@/-" + "x" * 118,
        event_types=["a" * 128] * 100,
        rate_limit=10_000,
        timeout_s=30,
        retry=RetryIn(schedule_s=[0, WEEK_S]),
    )
    assert made.retry is not None
    assert made.retry.schedule_s == [0, WEEK_S]


@pytest.mark.parametrize(
    "schedule", [[], [-1], [5, -0.1], [WEEK_S + 1], [INF], [NAN], [None], ["soon"], [[5]], "5", 5, None, [1] * 21]
)
def test_a_schedule_that_cannot_be_kept_is_refused(schedule: object) -> None:
    assert place_of_refusal(RetryIn, {"schedule_s": schedule}).startswith("schedule_s")


@pytest.mark.parametrize(
    ("given", "kept"),
    [([5, 60], [0, 5, 60]), ([0, 5, 60], [0, 5, 60]), ([0], [0]), ([0.5], [0, 0.5]), ([60, 5], [0, 60, 5])],
)
def test_the_first_attempt_is_at_once_whether_the_schedule_says_so_or_not(
    given: list[float], kept: list[float]
) -> None:
    assert RetryIn(schedule_s=given).schedule_s == kept
    assert RetryIn(schedule_s=kept).schedule_s == kept, "what was read can be written back"


def test_the_longest_schedule_can_be_written_back_as_it_was_read() -> None:
    longest = RetryIn(schedule_s=[1.0] * 19).schedule_s
    assert RetryIn(schedule_s=longest).schedule_s == longest
    with pytest.raises(ValidationError):
        RetryIn(schedule_s=[1.0] * 20)


@pytest.mark.parametrize("overlap", [-1, 30 * 24 * 3600 + 1, 1.5, "long", None, NAN])
def test_an_old_secret_goes_on_signing_for_a_month_at_most(overlap: object) -> None:
    assert place_of_refusal(RotateIn, {"overlap_s": overlap}) == "overlap_s"
    assert RotateIn(overlap_s=0).overlap_s == 0
    assert RotateIn(overlap_s=30 * 24 * 3600).overlap_s == 2_592_000
