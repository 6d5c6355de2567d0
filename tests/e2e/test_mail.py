"""Mail in a browser: messages that come by themselves, what they say in a frame without rights, templates, a trial."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PHONE, OpenPage
from tests.e2e.site import EMAIL, PASSWORD, Site
from tests.e2e.watch import Watch
from tests.instance import Instance
from tests.postoffice import opened

pytestmark = pytest.mark.e2e


def send(site: Site, subject: str, **fields: object) -> str:
    return site.post("/emails", {"to": "vera@example.com", "subject": subject, **fields})["id"]


def test_a_message_comes_by_itself_and_its_html_can_do_nothing(page: Page, site: Site, watch: Watch) -> None:
    if site.instance is None:
        pytest.skip("another instance may have a mail server, and would send to a stranger")
    watch.allow("Blocked script execution|Content Security Policy|auth/me: csp")  # what the message tries
    page.goto("/mail")
    expect(page.get_by_test_id("mail-unset")).to_be_visible()
    subject = site.name("order")
    evil = "<h1>Order</h1><script>parent.document.title = 'stolen'</script><img src='/api/v1/auth/me'>"
    email_id = send(site, subject, text="It comes on Thursday.", html=evil)
    made = page.get_by_test_id(f"mail-row-{email_id}")
    expect(made).to_contain_text("kept")
    made.get_by_role("button").click()
    expect(page).to_have_url(re.compile(rf"email={email_id}"))
    expect(page.get_by_test_id("mail-body")).to_have_text("It comes on Thursday.")
    page.get_by_test_id("mail-html").click()
    expect(page.frame_locator("[data-testid=mail-frame]").get_by_role("heading", name="Order")).to_be_visible()
    assert page.title() == "Mail · NovaPulse"
    page.get_by_test_id("mail-headers").click()
    expect(page.get_by_test_id("mail-drawer")).to_contain_text("Auto-Submitted: auto-generated")
    page.get_by_test_id("drawer-close").click()
    expect(page.get_by_test_id("mail-drawer")).to_be_hidden()

    secret = send(site, site.name("link"), text="https://example.com/?token=planted-4711", private=True)
    page.goto(f"/mail?email={secret}")
    expect(page.get_by_test_id("mail-command")).to_have_text(f"novapulse mail show {secret}")
    assert "planted-4711" not in page.content()

    page.goto("/mail")
    page.get_by_test_id("mail-q").fill(subject)
    page.get_by_test_id("mail-q").press("Enter")
    expect(page.locator("[data-testid^='mail-row-']")).to_have_count(1)
    page.get_by_test_id("mail-status").click()
    page.get_by_role("option", name="Failed").click()
    expect(page.get_by_test_id("nothing-matches")).to_be_visible()


def test_a_template_is_written_with_its_mistakes_shown_and_its_message_beside_it(page: Page, site: Site) -> None:
    name = site.event_type("t")
    page.goto("/mail/templates")
    page.get_by_test_id("template-new").first.click()
    expect(page.get_by_test_id("template-made-subject")).to_have_text("Hello Ada")
    page.get_by_test_id("template-name").fill(name)
    page.get_by_test_id("template-text").fill("one\n{{ name | frobnicate }}")
    expect(page.get_by_test_id("error-template-text")).to_contain_text("line 2: there is no filter 'frobnicate'")
    page.get_by_test_id("template-save").click()
    expect(page.get_by_text("It is not saved: there is a mistake in it.")).to_be_visible()
    page.get_by_test_id("template-text").fill("Dear {{ name | upper }}")
    expect(page.get_by_test_id("template-made-text")).to_have_text("Dear ADA")
    page.get_by_test_id("template-example").fill("{}")
    expect(page.get_by_test_id("error-template-example")).to_contain_text("'name' is undefined")
    page.get_by_test_id("template-example").fill('{"name": "Bob", "day": "Friday"}')
    expect(page.get_by_test_id("template-made-text")).to_have_text("Dear BOB")
    page.get_by_test_id("template-save").click()
    page.get_by_test_id(f"template-row-{name}").get_by_role("link").click()
    expect(page.get_by_test_id("template-text")).to_have_value("Dear {{ name | upper }}")
    page.get_by_test_id("template-delete").click()
    page.get_by_test_id("template-delete-confirm").click()
    expect(page.get_by_text("The template is deleted.")).to_be_visible()
    expect(page.get_by_test_id(f"template-row-{name}")).to_have_count(0)


@pytest.mark.slow
def test_with_a_server_a_trial_is_sent_and_what_failed_is_sent_again(
    new_instance: Callable[..., Instance], open_page: OpenPage
) -> None:
    with opened() as office:
        instance = new_instance(admin_email=EMAIL, admin_password=PASSWORD, smtp_url=office.url())
        site = Site(instance.url, EMAIL, PASSWORD, instance)
        site.sign_in()
        page = open_page(site.url, cookies=site.cookies(), size=PHONE)
        page.goto("/mail")
        expect(page.get_by_test_id("mail-server")).to_contain_text(f"localhost:{office.port}")
        office.recipient_answers.append("550 5.1.1 No such user")
        page.get_by_test_id("trial-open").click()
        page.get_by_test_id("trial-to").fill("nobody")
        page.get_by_test_id("trial-send").click()
        expect(page.get_by_test_id("error-trial-to")).to_contain_text("Must be an address")
        page.get_by_test_id("trial-to").fill("vera@example.com")
        page.get_by_test_id("trial-send").click()
        expect(page.get_by_test_id("trial-result")).to_contain_text("550 5.1.1 No such user")
        page.get_by_test_id("trial-send").click()
        expect(page.get_by_test_id("trial-result")).to_contain_text("sent")
        page.keyboard.press("Escape")

        office.recipient_answers.append("550 5.7.1 Not today")
        email_id = send(site, "Digest", text="x")
        made = page.get_by_test_id(f"mail-row-{email_id}")
        expect(made).to_contain_text("550 5.7.1 Not today")
        made.get_by_role("button").click()
        expect(page.get_by_test_id("mail-recipients")).to_contain_text("refused")
        page.get_by_test_id("mail-retry").click()
        expect(page.get_by_test_id("mail-recipients")).to_contain_text("taken by the server")
        expect(page.get_by_test_id("mail-retry")).to_have_count(0)
        assert [arrived.recipients for arrived in office.arrived] == [["vera@example.com"]] * 2
