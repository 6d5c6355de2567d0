"""What the API takes about events and their types."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from novapulse.core.clock import parse_rfc3339, rfc3339
from novapulse.webhooks import schemas
from novapulse.webhooks.schemas import EventBatchIn, EventIn, EventTypeIn, EventTypePatch


def refused_at(model: type[BaseModel], values: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(values)
    return str(raised.value.errors()[0]["loc"][0])


EVENT: dict[str, Any] = {"type": "invoice.paid", "data": {}}


@pytest.mark.parametrize("field", ["type", "data"])
def test_an_event_has_a_type_and_data(field: str) -> None:
    assert refused_at(EventIn, {name: value for name, value in EVENT.items() if name != field}) == field


@pytest.mark.parametrize("data", [None, True, 0, 10**40, 1.5, "", "text", [], {}, {"a": [{"b": None}]}])
def test_data_is_any_json_and_kept_as_it_is(data: object) -> None:
    assert EventIn(type="a", data=data).data == data


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", ""),
        ("type", "a."),
        ("type", "a b"),
        ("type", "*"),
        ("type", "a.*"),
        ("type", "a" * 129),
        ("type", "a\0"),
        ("type", "a\ud800"),
        ("type", None),
        ("type", 5),
        ("tenant", ""),
        ("tenant", "a b"),
        ("tenant", "x" * 129),
        ("tenant", 5),
        ("id", ""),
        ("id", "x" * 129),
        ("id", 5),
        ("id", "a\0b"),
        ("id", "a\ud800b"),
        ("timestamp", "yesterday"),
        ("timestamp", "2026-11-23"),
        ("timestamp", "2026-11-23T12:00:00"),  # no offset
        ("timestamp", "2026-02-30T12:00:00Z"),
        ("timestamp", ""),
        ("timestamp", []),
    ],
)
def test_a_wrong_value_of_an_event_is_refused_at_its_place(field: str, value: object) -> None:
    assert refused_at(EventIn, EVENT | {field: value}) == field


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59.9996Z"]
)
def test_a_time_that_utc_cannot_write_is_refused(text: str) -> None:
    assert refused_at(EventIn, EVENT | {"timestamp": text}) == "timestamp"


@given(st.datetimes(timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))))
def test_every_time_that_is_taken_can_be_written_into_the_body(moment: datetime) -> None:
    try:
        taken = EventIn(type="a", data=1, timestamp=moment).timestamp
    except ValidationError:
        assert moment.year in (1, 9999)
        return
    assert taken is not None
    ms = round(taken.timestamp() * 1000)
    assert parse_rfc3339(rfc3339(ms)) == ms


def test_the_first_and_last_moments_are_taken() -> None:
    for moment in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)):
        assert EventIn(type="a", data=1, timestamp=moment).timestamp == moment


@pytest.mark.parametrize("events", [[], [{}] * 1001, {}, None, "events"])
def test_a_batch_holds_one_to_a_thousand(events: object) -> None:
    assert refused_at(EventBatchIn, {"events": events}) == "events"
    assert len(EventBatchIn(events=[{}] * 1000).events) == 1000


def test_one_bad_event_does_not_refuse_the_batch() -> None:
    assert EventBatchIn(events=[EVENT, {"type": 5}, None]).events == [EVENT, {"type": 5}, None]


@pytest.mark.parametrize("name", ["", "a.", "*", "a.*", "a\0", None, 5])
def test_a_type_of_the_catalogue_has_the_name_of_a_type(name: object) -> None:
    assert refused_at(EventTypeIn, {"name": name}) == "name"


@pytest.mark.parametrize("description", ["x" * 2001, 5, "a\0"])
def test_a_description_is_text_of_2000_characters_at_most(description: object) -> None:
    assert refused_at(EventTypeIn, {"name": "a", "description": description}) == "description"
    assert refused_at(EventTypePatch, {"description": description}) == "description"


def test_a_test_event_has_the_name_of_a_type_or_none() -> None:
    assert schemas.TestIn().event_type is None
    assert refused_at(schemas.TestIn, {"event_type": "a."}) == "event_type"
