"""The dialog that sends a test from a webhook's page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import Webhook

from tests.e2e.site import Site
from tests.receiver import Answer, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Open = Callable[[], dict[str, Any]]


@pytest.fixture
def opened(page: Page, site: Site, receiver: Receiver) -> dict[str, Any]:
    """A new webhook, with the dialog open on its page."""
    made = site.webhook(receiver.url())
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("test-open").click()
    expect(page.get_by_test_id("test-data")).to_have_value(
        '{\n  "message": "This is a test delivery from NovaPulse."\n}'
    )
    return made


@pytest.fixture
def type_(site: Site) -> Any:
    """A type of the catalogue, with an example."""
    name = site.event_type()
    site.post("/event-types", {"name": name, "example": {"invoice": "in_1", "total": 1250}})
    yield name
    site.client.delete(f"/event-types/{name}").raise_for_status()


def test_an_edited_example_arrives_signed(page: Page, receiver: Receiver, type_: str, opened: dict[str, Any]) -> None:
    receiver.rule = lambda _: Answer(202, body=b'{"taken":true}')
    page.get_by_test_id("test-type").click()
    page.get_by_role("option", name=type_).click()
    data = page.get_by_test_id("test-data")
    expect(data).to_have_value('{\n  "invoice": "in_1",\n  "total": 1250\n}')
    data.fill('{"invoice": "in_2", "total": 12345678901234567890, "ü": [1.0]}')
    page.get_by_test_id("test-send").click()
    result = page.get_by_test_id("test-result")
    expect(result.locator("[data-status=delivered]")).to_be_visible()
    expect(result).to_contain_text("202")
    expect(result).to_contain_text('"taken": true')
    (arrival,) = receiver.arrivals
    Webhook(opened["secret"]).verify(arrival.body, arrival.headers)
    event = json.loads(arrival.body)
    assert event["type"] == type_
    assert event["data"] == {"invoice": "in_2", "total": 12345678901234567890, "ü": [1.0]}
    page.get_by_role("button", name="Close").click()
    row = page.locator("[data-testid^=delivery-row-]")
    expect(row).to_have_attribute("data-status", "delivered")
    expect(row).to_contain_text(type_)


def test_what_is_not_json_is_said_and_not_sent(page: Page, receiver: Receiver, opened: dict[str, Any]) -> None:
    page.get_by_test_id("test-data").fill('{\n  "invoice": }')
    page.get_by_test_id("test-send").click()
    expect(page.get_by_test_id("test-problem")).to_contain_text("This is not JSON")
    expect(page.get_by_test_id("test-problem")).to_contain_text("line 2")
    assert receiver.arrivals == []
    page.get_by_test_id("test-data").fill("{}")
    page.get_by_test_id("test-send").click()
    expect(page.get_by_test_id("test-result")).to_be_visible()
    expect(page.get_by_test_id("test-problem")).to_have_count(0)
    assert json.loads(receiver.arrivals[0].body)["data"] == {}


def test_a_failure_is_shown_and_not_repeated(
    page: Page, site: Site, receiver: Receiver, opened: dict[str, Any]
) -> None:
    receiver.rule = lambda _: Answer(500, body=b"out of order")
    page.get_by_test_id("test-send").click()
    result = page.get_by_test_id("test-result")
    expect(result.locator("[data-status=failed]")).to_be_visible()
    expect(result).to_contain_text("Answered 500.")
    expect(result).to_contain_text("out of order")
    (delivery,) = site.get(f"/webhooks/{opened['id']}/deliveries")["data"]
    assert (delivery["status"], delivery["attempt_count"]) == ("failed", 1)


def test_the_dialog_stays_with_its_webhook(page: Page, site: Site, receiver: Receiver, opened: dict[str, Any]) -> None:
    other = site.webhook(receiver.url())
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").fill(other["id"])
    expect(page.get_by_test_id("palette-item")).to_contain_text(other["name"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=other["name"], include_hidden=True)).to_be_attached()
    expect(page.get_by_test_id("test-data")).to_have_count(0)
