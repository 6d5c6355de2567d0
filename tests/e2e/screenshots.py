"""Pictures of every page and state, in both themes, on a desk and on a phone: `make screenshots`.

They show a NovaPulse of its own with the traffic of `novapulse demo`, and land in `docs/screenshots/`. Words on the
command line choose: `make screenshots ARGS="overview phone"`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, Page, expect, sync_playwright

from novapulse.launch import frontend
from tests import browser as chromium
from tests.e2e import flows, kitchen
from tests.e2e.site import EMAIL, PASSWORD, Site
from tests.e2e.tasks import MODULE
from tests.instance import Instance, running

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_TRAFFIC = 120  # deliveries made before the first picture


class Shot(NamedTuple):
    """A picture: where it is taken, and what is done there first."""

    name: str
    path: Callable[[Site], str]
    act: Callable[[Page], None] = lambda _: None
    signed_in: bool = True


def _at(path: str) -> Callable[[Site], str]:
    return lambda _: path


def _webhook(query: str = "", name: str = "recovers") -> Callable[[Site], str]:
    def path(site: Site) -> str:
        found = site.get("/webhooks", q=name)["data"]
        return f"/webhooks/{found[0]['id']}{query}"

    return path


def _job_of_delivery(site: Site) -> str:
    return f"/jobs/{site.get('/deliveries', status='delivered', limit='1')['data'][0]['id']}"


def _delivery(status: str) -> Callable[[Site], str]:
    def path(site: Site) -> str:
        found = site.get("/deliveries", status=status, limit="1")["data"][0]
        return f"/webhooks/{found['webhook_id']}?delivery={found['id']}"

    return path


def _audit_row(site: Site) -> str:
    found = site.get("/audit", action="webhook.", limit="1")["data"][0]
    return f"/settings/audit?row={found['seq']}"


def _verify_audit(page: Page) -> None:
    page.get_by_test_id("audit-verify").click()
    expect(page.get_by_test_id("audit-head")).to_be_visible()


def _click(testid: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_test_id(testid).click()


def _wrong_form(page: Page) -> None:
    page.get_by_test_id("webhook-url").fill("http://10.0.0.1/hook")
    page.get_by_test_id("webhook-url").blur()
    expect(page.get_by_test_id("error-url")).to_be_visible()


def _choose_events(page: Page) -> None:
    page.get_by_test_id("type-*").uncheck()
    for pattern in ("order.*", "invoice.paid"):
        page.get_by_test_id(f"type-{pattern}").check()
    page.get_by_test_id("webhook-event-types").fill("shipment.*")
    page.get_by_test_id("type-add").click()
    page.get_by_test_id("type-tree").scroll_into_view_if_needed()
    page.get_by_test_id("type-taken").scroll_into_view_if_needed()


def _choose_schedule(page: Page) -> None:
    page.get_by_test_id("retry-patient").click()
    page.get_by_test_id("header-add").click()
    page.get_by_test_id("webhook-save").scroll_into_view_if_needed()


def _make_webhook(page: Page) -> None:
    page.get_by_test_id("webhook-url").fill("https://1.1.1.1/hooks")
    page.get_by_test_id("webhook-save").click()
    expect(page.get_by_test_id("secret-value")).to_be_visible()


def _select_some(page: Page) -> None:
    for place in (1, 2):
        page.get_by_role("checkbox").nth(place).click()
    expect(page.get_by_test_id("bulk-pause")).to_be_visible()


def _reports(site: Site) -> None:
    for kind, format_ in (("queues", "csv"), ("audit", "xlsx"), ("endpoints", "pdf"), ("deliveries", "pdf")):
        site.post("/reports", {"kind": kind, "format": format_, "params": {"range": "last_24_hours"}})
    schedule = {"name": "Weekly reliability", "cron": "0 7 * * MON", "timezone": "Europe/Paris", "kind": "endpoints"}
    site.post("/reports/schedules", schedule | {"format": "pdf", "range": "last_week", "mail_to": ["ops@example.com"]})


def _mail(site: Site) -> None:
    html = "<div style='font-family:sans-serif'><h1>Order 1042</h1><p>It comes on <b>Thursday</b>.</p></div>"
    words = {"text": "Hello Ada,\n\nit comes on Thursday.\n", "html": html}
    site.post("/emails", {"to": ["ada@example.com", "bob@example.com"], "subject": "Order 1042 is on its way", **words})
    example = {"name": "Ada", "number": "1042"}
    text = "Hello {{ name }},\n\nyour order {{ number }} is on its way."
    body = {"name": "order-shipped", "subject": "Order {{ number }}", "text": text, "html": html, "example": example}
    site.post("/email-templates", body)


def _regular_report(page: Page) -> None:
    page.get_by_test_id("report-new").click()
    page.get_by_test_id("report-when").click()
    page.get_by_role("option", name="Every Monday").click()
    page.get_by_test_id("report-make").click()
    expect(page.get_by_test_id("report-error")).to_be_visible()


def _wrong_definition(page: Page) -> None:
    field = page.get_by_test_id("workflow-source")
    field.fill(field.input_value().replace("type: email", "type: letter"))
    expect(page.get_by_test_id("workflow-errors")).to_contain_text("Line")


def _look_at_jobs(page: Page) -> None:
    page.get_by_test_id("select-all").click()
    page.get_by_test_id("bulk-retry").click()
    expect(page.get_by_test_id("bulk-touched")).to_be_visible()


SHOTS = (
    Shot("login", _at("/login"), signed_in=False),
    Shot("overview", _at("/")),
    Shot("webhooks", _at("/webhooks")),
    Shot("webhooks-selected", _at("/webhooks"), _select_some),
    Shot("webhooks-nothing-found", _at("/webhooks?q=nothing+like+this")),
    Shot("webhook-new", _at("/webhooks/new")),
    Shot("webhook-new-refused", _at("/webhooks/new"), _wrong_form),
    Shot("webhook-new-events", _at("/webhooks/new"), _choose_events),
    Shot("webhook-new-schedule", _at("/webhooks/new"), _choose_schedule),
    Shot("webhook-made", _at("/webhooks/new"), _make_webhook),
    Shot("webhook", _webhook()),
    Shot("webhook-over-time", _webhook("?tab=time&over=15m")),
    Shot("webhook-settings", _webhook("?tab=settings")),
    Shot("webhook-secret", _webhook("?tab=secret")),
    Shot("webhook-test", _webhook(), _click("test-open")),
    Shot("delivery-delivered", _delivery("delivered")),
    Shot("delivery-retrying", _delivery("retrying")),
    Shot("palette", _at("/webhooks"), lambda page: page.keyboard.press("Control+k")),
    Shot("reports", _at("/reports")),
    Shot("report-new", _at("/reports"), _click("report-new")),
    Shot("report-regular", _at("/reports"), _regular_report),
    Shot("workflows", _at("/workflows")),
    Shot("workflow-runs", _at("/workflows?tab=runs")),
    Shot("workflow-new", _at("/workflows/new?from=each")),
    Shot("workflow-wrong", _at("/workflows/new?from=follow-up"), _wrong_definition),
    Shot("workflow-detail", lambda site: flows.path(site, flows.FAILS)),
    Shot("workflow-secrets", lambda site: flows.path(site, flows.FAILS, "?tab=secrets")),
    Shot("workflow-run-now", lambda site: flows.path(site, flows.FAILS), _click("workflow-run")),
    Shot("run-waiting", lambda site: flows.run_path(site, flows.WAITS)),
    Shot("run-failed", lambda site: flows.run_path(site, flows.FAILS)),
    Shot("run-loop", lambda site: flows.run_path(site, flows.EACH)),
    Shot("run-step", lambda site: flows.run_path(site, flows.WAITS, "?step=greet")),
    Shot("mail", _at("/mail")),
    Shot("mail-message", _at("/mail?q=order"), lambda page: page.get_by_role("button", name="Order 1042").click()),
    Shot("mail-templates", _at("/mail/templates")),
    Shot("mail-template", _at("/mail/templates/edit?name=order-shipped")),
    Shot("jobs", _at("/jobs")),
    Shot("jobs-pause", _at("/jobs"), lambda page: page.get_by_test_id("queue-drain").first.click()),
    Shot("jobs-list", _at("/jobs/list")),
    Shot("jobs-bulk", _at("/jobs/list?state=dead"), _look_at_jobs),
    Shot("jobs-failures", _at("/jobs/failures")),
    Shot("jobs-workers", _at("/jobs/workers")),
    Shot("jobs-schedules", _at("/jobs/schedules")),
    Shot("jobs-schedule-new", _at("/jobs/schedules"), _click("schedule-new")),
    Shot("jobs-history", _at("/jobs/history?span=15m")),
    Shot("job-delivery", _job_of_delivery),
    Shot("job-dead", kitchen.job_of(kitchen.BURN, "dead")),
    Shot("job-active", kitchen.job_of(kitchen.SIMMER, "active")),
    Shot("job-waiting", kitchen.job_of(kitchen.BAKE, "waiting")),
    Shot("security", _at("/settings/security")),
    Shot("security-enrol", _at("/settings/security"), _click("mfa-enrol")),
    Shot("security-sessions", _at("/settings/security?tab=sessions")),
    Shot("security-attempts", _at("/settings/security?tab=attempts")),
    Shot("team", _at("/settings/team")),
    Shot("api-keys", _at("/settings/api-keys")),
    Shot("api-key-rotate", _at("/settings/api-keys"), _click("key-rotate")),
    Shot("policy-map", _at("/settings/policies")),
    Shot("audit", _at("/settings/audit")),
    Shot("audit-row", _audit_row),
    Shot("audit-nothing-found", _at("/settings/audit?q=nothing+like+this&span=1h")),
    Shot("audit-verify", _at("/settings/audit"), _verify_audit),
)


@contextmanager
def _demo(instance: Instance) -> Iterator[None]:
    process = subprocess.Popen([*instance.command, "demo"], cwd=instance.folder, env=instance.environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _take(browser: Browser, site: Site, shot: Shot, size: str, theme: Literal["light", "dark"]) -> Path:
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=site.url, viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    if shot.signed_in:
        context.add_cookies(site.cookies())  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(shot.path(site))
    if shot.signed_in:
        expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
        expect(page.locator(".rt-Skeleton")).to_have_count(0)
    shot.act(page)
    page.wait_for_timeout(600)  # charts and images are drawn
    file = FOLDER / f"{shot.name}-{size}-{theme}.png"
    page.screenshot(path=file)
    context.close()
    return file


def main() -> None:
    """Take those pictures whose file names contain all words of the command line."""
    words = sys.argv[1:]
    root = frontend.source_tree()
    assert root is not None, "pictures are taken of a source tree"
    frontend.build_if_stale(root)
    FOLDER.mkdir(parents=True, exist_ok=True)
    settings = {"admin_email": EMAIL, "admin_password": PASSWORD, "allow_private_networks": "127.0.0.0/8"}
    settings["task_modules"] = MODULE
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        running(Path(folder), **settings) as instance,
        _demo(instance),
    ):
        site = Site(instance.url, EMAIL, PASSWORD, instance)
        site.sign_in()
        site.post("/api-keys", {"name": "Billing service", "scopes": ["events:write"]})
        _reports(site)
        _mail(site)
        flows.begin(site, "on a name")
        kitchen.cook(site)
        while len(site.get("/deliveries", status="delivered", limit="200")["data"]) < _TRAFFIC:
            time.sleep(1)
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.ARGUMENTS])
        for shot, size, theme in product(SHOTS, SIZES, THEMES):
            if all(word in f"{shot.name}-{size}-{theme}" for word in words):
                print(_take(browser, site, shot, size, theme).relative_to(FOLDER.parents[1]), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
