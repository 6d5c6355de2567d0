"""Every page and state of the product, and an instance with something of everything, to show them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Locator, Page, expect

from tests.e2e import flows, kitchen
from tests.e2e.conftest import DESKTOP, PHONE
from tests.e2e.site import Site, wait_until
from tests.receiver import Answer, Arrival, Receiver

LONG = "a_name_that_is_as_long_as_people_make_them_in_the_end_and_then_some"


class House(NamedTuple):
    """Webhooks and deliveries of every kind."""

    site: Site
    main: str  # webhook with a delivery in each state that lasts
    disabled: str
    slow: str
    retrying: str  # delivery
    reports: tuple[str, str]  # paths of one that is ready, and of a schedule

    def sending(self) -> str:
        """A delivery that is being sent for as long as anybody looks; its event."""
        event = self.site.send("axe.slow")
        self.site.reaches(event, "sending")
        return event


def answer(arrival: Arrival) -> Answer:
    if b"axe.slow" in arrival.body:
        return Answer(silent=True)
    if b"axe.gone" in arrival.body:
        return Answer(410)
    return Answer(500, body=b'{"error": "down"}') if b'"bad"' in arrival.body else Answer(body=b'{"ok": true}')


def fill(site: Site, receiver: Receiver) -> House:
    never_again = {"schedule_s": [0, 3600]}
    main_type, name = f"axe.{LONG}", site.name("A webhook whose owners could not agree on a shorter name for it")
    main = site.webhook(receiver.url(f"/{LONG}/{LONG}"), main_type, name=name, retry=never_again, tenant=None)["id"]
    disabled = site.webhook(receiver.url(), "axe.gone")["id"]
    slow = site.webhook(receiver.url(), "axe.slow", timeout_s=30, retry=never_again)["id"]
    site.webhook(receiver.url())  # idle
    site.send("axe.gone")
    site.reaches(site.send(main_type, how="good"), "delivered")
    retrying, cancelled, failed = (site.send(main_type, how="bad", note=LONG * 3) for _ in range(3))
    for event in (retrying, cancelled, failed):
        site.reaches(event, "retrying")
    for event in (cancelled, failed):
        site.post(f"/deliveries/{site.delivery(event)['id']}/cancel")
    site.post(f"/deliveries/{site.delivery(failed)['id']}/retry")
    site.reaches(failed, "failed")
    site.client.patch(f"/webhooks/{main}", json={"status": "paused"}).raise_for_status()
    site.post(
        "/emails",
        {"to": [f"{LONG[:60]}@axe.invalid", "b@axe.invalid"], "subject": LONG * 2, "html": f"<p>{LONG * 3}</p>"},
    )
    site.post("/email-templates", {"name": f"{site.mark}-axe", "subject": LONG * 2, "text": LONG})
    site.send(main_type, how="later")
    flows.begin(site, LONG, f"{site.mark} ")
    made = site.post("/reports", {"kind": "endpoints", "format": "pdf", "params": {"range": "last_24_hours"}})
    wait_until(lambda: site.get(f"/reports/{made['id']}")["status"] == "ready", "the report is ready")
    schedule = {"name": name, "cron": "0 7 * * MON", "kind": "deliveries", "format": "csv", "range": "last_week"}
    regular = site.post("/reports/schedules", schedule | {"mail_to": [f"{LONG[:64]}@example.com"]})
    kitchen.cook(site, LONG)
    return House(
        site,
        main,
        disabled,
        slow,
        site.delivery(retrying)["id"],
        (f"/reports/{made['id']}", f"/reports/schedules/{regular['id']}"),
    )


class State(NamedTuple):
    """A page, what is done on it, and what is there once it may be judged."""

    name: str
    path: Callable[[House], str]
    shows: str  # a test id
    act: Callable[[Page], object] = lambda _: None
    sizes: tuple[tuple[int, int], ...] = (DESKTOP, PHONE)
    within: str | None = None  # the part that is judged


def _clicks(*test_ids: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for test_id in test_ids:
            page.get_by_test_id(test_id).first.click()

    return act


def _clicks_in(row: str) -> Callable[[Page], None]:
    return lambda page: page.locator(f"[data-testid^='{row}-']").first.get_by_role("button").click()


def _main(query: str = "") -> Callable[[House], str]:
    return lambda house: f"/webhooks/{house.main}{query}"


def _at(path: str) -> Callable[[House], str]:
    return lambda _: path


def _send_test(data: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_test_id("test-open").click()
        expect(page.get_by_test_id("test-data")).not_to_have_value("")
        page.get_by_test_id("test-data").fill(data)
        page.get_by_test_id("test-send").click()

    return act


def _wrong_form(page: Page) -> None:
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    page.get_by_test_id("webhook-retry").fill("0, 60, 3600")
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("webhook-event-types").fill("axe.* in..voice")
    page.get_by_test_id("type-add").click()
    page.get_by_test_id("header-add").click()
    page.get_by_test_id("header-name").fill("Host")
    page.get_by_test_id("webhook-url").fill("ftp://example.com/")
    page.get_by_test_id("webhook-save").click()
    expect(page.get_by_test_id("error-headers")).to_be_visible()


def _wrong_template(page: Page) -> None:
    expect(page.get_by_test_id("template-made-subject")).to_be_visible()
    page.get_by_test_id("template-html").fill("{{ " + LONG + " | frobnicate }}")


def _wrong_workflow(page: Page) -> None:
    page.get_by_test_id("workflow-source").fill(f"name: x\nsteps:\n  - id: {LONG}\n    type: letter\n")


def _make_webhook(page: Page) -> None:
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    page.get_by_test_id("webhook-url").fill("https://1.1.1.1/")
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("webhook-event-types").fill("axe.never")
    page.get_by_test_id("webhook-save").click()


def _wrong_report(page: Page) -> None:
    page.get_by_test_id("report-new").click()
    page.get_by_test_id("report-when").click()
    page.get_by_role("option", name="By a cron expression").click()
    page.get_by_test_id("report-make").click()


def _search(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").fill("web")


def _selected_jobs(page: Page) -> None:
    page.get_by_test_id("select-all").click()
    expect(page.get_by_test_id("bulk-retry")).to_be_visible()


def _previewed_jobs(page: Page) -> None:
    _selected_jobs(page)
    page.get_by_test_id("bulk-retry").click()
    page.get_by_test_id("bulk-canary").click()


def _wrong_schedule(page: Page) -> None:
    page.get_by_test_id("schedule-new").click()
    page.get_by_test_id("schedule-cron").fill("0 0 30 2 *")
    page.get_by_test_id("schedule-payload").fill("{")
    expect(page.get_by_test_id("error-cron")).to_be_visible()


def _job(task: str, state: str) -> Callable[[House], str]:
    return lambda house: kitchen.job_of(task, state)(house.site)


STATES = (
    State("overview", _at("/"), "feed-row"),
    State("user menu", _at("/"), "sign-out", _clicks("user-menu")),
    State("theme menu", _at("/"), "theme-dark", _clicks("theme-switch")),
    State("phone menu", _at("/"), "phone-nav", _clicks("phone-menu"), (PHONE,)),
    State("palette", _at("/webhooks"), "palette-item", _search),
    State("shortcuts", _at("/webhooks"), "shortcuts", lambda page: page.keyboard.press("?")),
    State("webhooks", _at("/webhooks"), "webhook-row"),
    State(
        "webhooks selected", _at("/webhooks"), "bulk-delete", lambda page: page.get_by_role("checkbox").first.click()
    ),
    State("webhooks none fits", _at("/webhooks?q=there-is-none"), "nothing-matches"),
    # An open listbox keeps the focus to itself until it is closed: what is hidden behind it cannot be reached. As
    # axe-core knows this of modal dialogs only, it is asked about the listbox alone.
    State("filter", _at("/webhooks"), "filter-status", _clicks("filter-status"), within="[role=listbox]"),
    State("new webhook", _at("/webhooks/new"), "error-url", _wrong_form),
    State("made webhook", _at("/webhooks/new"), "secret-value", _make_webhook),
    State("edit webhook", lambda house: f"/webhooks/{house.main}/edit", "webhook-save"),
    State("deliveries", _main(), "delivery-row"),
    State("disabled", lambda house: f"/webhooks/{house.disabled}", "webhook-disabled"),
    State("sending", lambda house: house.sending() and f"/webhooks/{house.slow}", "delivery-row"),
    State("attempts over time", _main("?tab=time"), "attempts-summary"),
    State("settings", _main("?tab=settings"), "settings-edit"),
    State("secret", _main("?tab=secret"), "secret-value", _clicks("secret-reveal")),
    State("rotate", _main("?tab=secret"), "secret-rotate-confirm", _clicks("secret-rotate")),
    State("delete", _main(), "confirm-delete", _clicks("webhook-delete")),
    State("delivery", lambda house: f"/webhooks/{house.main}?delivery={house.retrying}", "attempt"),
    State("test sent", _main(), "test-result", _send_test('{"how": "bad"}')),
    State("test refused", _main(), "test-problem", _send_test("{")),
    State("mail", _at("/mail"), "mail-row"),
    State("mail none fits", _at("/mail?q=there-is-none"), "nothing-matches"),
    State("message", _at("/mail"), "mail-drawer", _clicks_in("mail-row")),
    State("templates", _at("/mail/templates"), "template-new"),
    State("template", _at("/mail/templates/edit"), "error-template-html", _wrong_template),
    State("queues", _at("/jobs"), "meter-report"),
    State("queue pause", _at("/jobs"), "queue-consequences", _clicks("queue-pause")),
    State("jobs", _at("/jobs/list"), "job-row"),
    State("jobs none fits", _at("/jobs/list?q=there-is-none"), "nothing-matches"),
    State("jobs selected", _at("/jobs/list?state=dead"), "bulk-retry", _selected_jobs),
    State("jobs previewed", _at("/jobs/list?state=dead"), "bulk-first", _previewed_jobs),
    State("job dead", _job(kitchen.BURN, "dead"), "job-traceback"),
    State("job active", _job(kitchen.SIMMER, "active"), "job-progress"),
    State("job waiting", _job(kitchen.BAKE, "waiting"), "why-reasons"),
    State("failures", _at("/jobs/failures"), "failure"),
    State("workers", _at("/jobs/workers"), "worker"),
    State("schedules", _at("/jobs/schedules"), "schedule-run"),
    State("schedule refused", _at("/jobs/schedules"), "error-cron", _wrong_schedule),
    State("jobs history", _at("/jobs/history"), "rewind-board"),
    State("workflows", _at("/workflows"), "workflow-row"),
    State("workflows none fits", _at("/workflows?q=there-is-none"), "nothing-matches"),
    State("workflow runs", _at("/workflows?tab=runs"), "run-row"),
    State("new workflow", _at("/workflows/new?from=each"), "flow-step-lines"),
    State("wrong workflow", _at("/workflows/new?from=follow-up"), "workflow-error-line", _wrong_workflow),
    State("workflow", lambda house: flows.path(house.site, flows.EACH), "flow-step-lines"),
    State("its runs", lambda house: flows.path(house.site, flows.FAILS, "?tab=runs"), "run-row"),
    State("its secrets", lambda house: flows.path(house.site, flows.FAILS, "?tab=secrets"), "secret-save"),
    State(
        "run a workflow",
        lambda house: flows.path(house.site, flows.WAITS),
        "run-start",
        _clicks("workflow-run"),
        within="[role=dialog]",
    ),
    State("run that failed", lambda house: flows.run_path(house.site, flows.FAILS), "run-error"),
    State("run with a loop", lambda house: flows.run_path(house.site, flows.EACH), "flow-step-label"),
    State("step of a run", lambda house: flows.run_path(house.site, flows.WAITS, "?step=greet"), "step-output"),
    State("reports", _at("/reports"), "report-schedule"),
    State("new report", _at("/reports"), "report-error", _wrong_report),
    State("delete report", _at("/reports"), "report-delete-confirm", _clicks("report-delete")),
    State("API keys", _at("/settings/api-keys"), "key-revoke"),
    State("new key", _at("/settings/api-keys"), "key-error", _clicks("key-create", "key-save")),
    State("revoke key", _at("/settings/api-keys"), "key-revoke-confirm", _clicks("key-revoke")),
    State("rotate key", _at("/settings/api-keys"), "key-rotate-save", _clicks("key-rotate")),
    State("policy map", _at("/settings/policies"), "policy-row"),
    State("audit log", _at("/settings/audit"), "audit-row"),
    State("audit log none fits", _at("/settings/audit?q=there-is-none"), "nothing-matches"),
    State("audit row", _at("/settings/audit?subject=webhook"), "audit-drawer", _clicks_in("audit-row")),
    State("audit export", _at("/settings/audit"), "audit-export-csv", _clicks("audit-export"), within="[role=menu]"),
    State("audit verified", _at("/settings/audit"), "audit-head", _clicks("audit-verify")),
)


def shown(page: Page, state: State) -> Locator:
    """What the state shows: by test id, or by its beginning where an id follows."""
    shows = state.shows
    return page.locator(f"[data-testid='{shows}'], [data-testid^='{shows}-']").first
