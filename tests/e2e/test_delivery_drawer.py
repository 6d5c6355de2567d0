"""The drawer of one delivery: what was sent, what came back, and what may be done."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, Page, expect
from standardwebhooks.webhooks import Webhook

from tests.e2e.site import Site
from tests.instance import free_port
from tests.receiver import Answer, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LATER = {"schedule_s": [0, 3600]}  # a retry that no test waits for
# What would end a string, start a command or name a variable in a shell.
HOSTILE = 'it\'s "$HOME" `id` \\ \n; echo äöü 😀'


def _drawer(page: Page) -> Locator:
    return page.get_by_test_id("delivery-drawer")


def _attempts(page: Page) -> Locator:
    return _drawer(page).get_by_test_id("attempt")


def _copied(page: Page, button: str) -> str:
    pressed = _drawer(page).get_by_role("button", name=f"{button} to the clipboard")
    pressed.click()
    expect(pressed.get_by_role("status")).to_have_text("Copied")
    return page.evaluate("navigator.clipboard.readText()")


@pytest.fixture
def send(site: Site, receiver: Receiver) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Sends an event to a new webhook; both the webhook and the delivery once it has this status."""

    def send_(status: str, /, *, retry: Any = LATER, data: Any = None, **fields: Any) -> Any:
        type_ = site.event_type()
        webhook = site.webhook(fields.pop("url", receiver.url()), type_, retry=retry, **fields)
        return webhook, site.reaches(site.send(type_, **(data or {"n": 1})), status)

    return send_


def test_it_shows_the_event_and_what_went_over_the_wire(
    page: Page, site: Site, receiver: Receiver, send: Callable[..., Any]
) -> None:
    receiver.rule = lambda _: Answer(422, {"x-request-id": "abc-123"}, b'{"error":"no such invoice"}')
    webhook, delivery = send("retrying", data={"n": 7}, headers={"Authorization": "Bearer hidden", "X-Team": "billing"})
    page.goto(f"/webhooks/{webhook['id']}")
    page.get_by_test_id(f"delivery-row-{delivery['id']}").get_by_role("button").click()
    drawer, attempt = _drawer(page), _attempts(page)
    expect(page).to_have_url(f"{site.url}/webhooks/{webhook['id']}?delivery={delivery['id']}")
    expect(drawer.get_by_role("heading", name=delivery["event_type"])).to_be_visible()
    expect(drawer.get_by_text(delivery["id"], exact=True)).to_be_visible()
    event = json.loads(drawer.get_by_test_id("drawer-body").inner_text())
    assert event["type"] == delivery["event_type"]
    assert event["data"] == {"n": 7}
    expect(attempt).to_have_attribute("data-status", "failed")
    expect(attempt).to_contain_text("Answered 422.")
    sent = receiver.arrivals[0].headers
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature", "user-agent", "traceparent"):
        expect(attempt, name).to_contain_text(f"{name}: {sent[name]}")
    expect(attempt).to_contain_text("X-Team: billing")
    expect(attempt).not_to_contain_text("hidden")
    expect(attempt).to_contain_text("x-request-id: abc-123")
    expect(attempt).to_contain_text('"error": "no such invoice"')
    expect(attempt).to_contain_text(re.compile(r"first byte \d+ ms, total \d+ ms"))
    expect(drawer.get_by_test_id("delivery-next")).to_have_text(
        re.compile(r"Next attempt in (59 min|1 h)\. Attempt 2 of 2, 1 h after the last\.")
    )
    box = drawer.bounding_box()
    assert box is not None
    assert round(box["x"] + box["width"]) == 1440, "it is at the right, beside the log"

    # Its trace is to be copied, and opened where traces are looked at; and from the job that it is there is a way back.
    trace = sent["traceparent"].split("-")[1]
    expect(drawer.get_by_test_id("trace-id")).to_have_text(trace)
    if site.instance is not None:
        expect(drawer.get_by_test_id("trace-link")).to_have_attribute("href", f"https://tempo.example/trace/{trace}")
    page.goto(f"/jobs/{delivery['id']}")
    expect(page.get_by_test_id("trace-id")).to_have_text(trace)
    page.get_by_test_id("job-delivery").click()
    expect(drawer.get_by_test_id("attempt")).to_have_count(1)


def test_attempts_come_newest_first_as_they_happen(
    page: Page, site: Site, receiver: Receiver, send: Callable[..., Any]
) -> None:
    receiver.rule = lambda _: Answer(500)
    webhook, delivery = send("retrying")
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    expect(_attempts(page)).to_have_count(1)
    receiver.rule = lambda _: Answer(200)
    site.post(f"/deliveries/{delivery['id']}/retry")
    expect(_attempts(page)).to_have_count(2)
    expect(_attempts(page).nth(0)).to_contain_text("#2")
    expect(_attempts(page).nth(0)).to_have_attribute("data-status", "delivered")
    expect(_attempts(page).nth(1)).to_contain_text("#1")
    expect(_attempts(page).nth(1)).to_have_attribute("data-status", "failed")
    expect(_drawer(page).get_by_role("banner").get_by_text("delivered")).to_be_visible()
    expect(_drawer(page).get_by_test_id("delivery-next")).to_have_count(0)


def test_it_says_how_long_a_receiver_asked_to_wait(page: Page, receiver: Receiver, send: Callable[..., Any]) -> None:
    receiver.rule = lambda _: Answer(429, {"retry-after": "7200"})
    webhook, delivery = send("retrying")
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    expect(_drawer(page).get_by_test_id("delivery-next")).to_have_text(
        re.compile(r"Next attempt in \d h\. The receiver answered 429 and asked to wait 2 h\.")
    )


def test_it_says_why_nothing_came_back(page: Page, send: Callable[..., Any]) -> None:
    port = free_port()
    with socket.socket() as nobody:  # bound, so that nobody else listens here; not listening, so that it is refused
        nobody.bind(("127.0.0.1", port))
        webhook, delivery = send("failed", retry={"schedule_s": [0]}, url=f"http://127.0.0.1:{port}/")
        page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
        expect(_attempts(page)).to_contain_text("connect")
        expect(_attempts(page)).to_contain_text("None came.")
        expect(_drawer(page).get_by_test_id("delivery-next")).to_have_text("All 1 attempts of the schedule failed.")


def test_id_and_event_are_copied(page: Page, send: Callable[..., Any]) -> None:
    webhook, delivery = send("delivered")
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    assert _copied(page, "Copy id") == delivery["id"]
    assert json.loads(_copied(page, "Copy JSON"))["data"] == {"n": 1}


def test_the_copied_command_sends_the_same_again(page: Page, receiver: Receiver, send: Callable[..., Any]) -> None:
    webhook, delivery = send("delivered", data={"note": HOSTILE}, url=receiver.url("/it's?a=$HOME&b='"))
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    command = _copied(page, "Copy as curl")
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=20)
    first, again = receiver.arrivals
    assert unquote(again.path) == unquote(first.path)
    assert again.body == first.body
    Webhook(webhook["secret"]).verify(again.body, again.headers)
    assert json.loads(again.body)["data"] == {"note": HOSTILE}


def test_send_again_sends_it_once_more(page: Page, receiver: Receiver, send: Callable[..., Any]) -> None:
    webhook, delivery = send("delivered")
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    _drawer(page).get_by_test_id("delivery-retry").click()
    expect(page.get_by_text("On its way.")).to_be_visible()
    expect(_attempts(page)).to_have_count(2)
    assert list(receiver.counts().values()) == [2], "the same webhook-id"


def test_cancel_ends_it(page: Page, site: Site, receiver: Receiver, send: Callable[..., Any]) -> None:
    receiver.rule = lambda _: Answer(500)
    webhook, delivery = send("retrying")
    page.goto(f"/webhooks/{webhook['id']}?delivery={delivery['id']}")
    _drawer(page).get_by_test_id("delivery-cancel").click()
    expect(_drawer(page).get_by_text("cancelled", exact=True)).to_be_visible()
    expect(_drawer(page).get_by_test_id("delivery-cancel")).to_have_count(0)
    expect(_drawer(page).get_by_test_id("delivery-next")).to_have_text(f"Cancelled by {site.email}.")
    assert site.delivery(delivery["event_id"])["status"] == "cancelled"
    _drawer(page).get_by_test_id("delivery-retry").click()
    expect(_attempts(page)).to_have_count(2)
    expect(_drawer(page).get_by_role("banner").get_by_text("failed")).to_be_visible()


def test_what_is_not_sent_yet_can_be_called_off(page: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_)
    site.client.patch(f"/webhooks/{made['id']}", json={"status": "paused"}).raise_for_status()
    delivery = site.delivery(site.send(type_))
    page.goto(f"/webhooks/{made['id']}?delivery={delivery['id']}")
    expect(_drawer(page)).to_contain_text("None yet.")
    expect(_drawer(page).get_by_test_id("delivery-retry")).to_have_count(0)
    _drawer(page).get_by_test_id("delivery-cancel").click()
    expect(_drawer(page).get_by_text("cancelled", exact=True)).to_be_visible()
    site.client.patch(f"/webhooks/{made['id']}", json={"status": "active"}).raise_for_status()
    site.reaches(site.send(type_), "delivered")
    assert len(receiver.arrivals) == 1, "the second event only"


def test_each_way_out_closes_it_and_back_opens_it_again(page: Page, site: Site, send: Callable[..., Any]) -> None:
    webhook, delivery = send("delivered")
    closed, open_ = f"/webhooks/{webhook['id']}", f"/webhooks/{webhook['id']}?delivery={delivery['id']}"
    button = page.get_by_test_id(f"delivery-row-{delivery['id']}").get_by_role("button")
    ways: dict[str, Callable[[], object]] = {
        "Escape": lambda: page.keyboard.press("Escape"),
        "the cross": lambda: page.get_by_test_id("drawer-close").click(),
        "a click beside it": lambda: page.mouse.click(200, 500),
        "Back": page.go_back,
    }
    page.goto(f"{closed}?status=delivered")
    for way, close in ways.items():
        button.click()
        expect(_attempts(page), way).to_be_visible()
        expect(page).to_have_url(re.compile(f"delivery={delivery['id']}"))
        close()
        expect(_drawer(page), way).to_have_count(0)
        expect(page, way).to_have_url(f"{site.url}{closed}?status=delivered")
    page.go_forward()
    expect(_attempts(page)).to_be_visible()
    page.goto(open_)
    expect(_attempts(page), "a link to it").to_be_visible()


def test_the_keyboard_goes_in_and_comes_back_to_the_row(page: Page, send: Callable[..., Any]) -> None:
    webhook, delivery = send("delivered")
    page.goto(f"/webhooks/{webhook['id']}")
    button = page.get_by_test_id(f"delivery-row-{delivery['id']}").get_by_role("button")
    button.press("Enter")
    expect(_attempts(page)).to_be_visible()
    for _ in range(12):  # all the way round
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('[data-testid=delivery-drawer]') !== null")
    page.keyboard.press("Escape")
    expect(_drawer(page)).to_have_count(0)
    expect(button).to_be_focused()


def test_a_link_to_no_delivery_says_so(page: Page, site: Site, send: Callable[..., Any]) -> None:
    webhook, _ = send("delivered")
    page.goto(f"/webhooks/{webhook['id']}?delivery=dlv_{'0' * 32}")
    expect(page.get_by_text("There is no delivery")).to_be_visible()
    expect(page.get_by_role("heading", name=webhook["name"])).to_be_visible()
    expect(_drawer(page)).to_have_count(0)


def test_a_link_to_a_delivery_of_another_webhook_opens_no_drawer(page: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    site.webhook(receiver.url(), type_)
    other = site.webhook(receiver.url())
    delivery = site.reaches(site.send(type_), "delivered")
    page.goto(f"/webhooks/{other['id']}?delivery={delivery['id']}")
    expect(page.get_by_text("There is no delivery of this webhook")).to_be_visible()
    expect(page.get_by_test_id("delivery-drawer")).to_have_count(0)
