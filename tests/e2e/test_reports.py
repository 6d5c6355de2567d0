"""Reports: one is asked for, followed, downloaded and deleted; one is made again and again."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.site import Site
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _no_report_stays(site: Site) -> Iterator[None]:
    before = {row["id"] for row in site.get("/reports")["data"]}
    yield
    for path, old in (("/reports", before), ("/reports/schedules", set[str]())):
        for row in site.get(path)["data"]:
            if row["id"] not in old and (path == "/reports" or row["name"].startswith(site.mark)):
                site.client.delete(f"{path}/{row['id']}").raise_for_status()


def _rows(page: Page) -> Locator:
    return page.locator("[data-testid^=report-row-]")


def test_a_report_is_made_followed_downloaded_and_deleted(page: Page, site: Site, watch: Watch, tmp_path: Path) -> None:
    watch.allow(r"\b422\b")  # what only the API can tell
    page.goto("/reports")
    page.get_by_test_id("report-new").click()
    page.get_by_test_id("report-kind-endpoints").click()
    page.get_by_test_id("report-range").click()
    page.get_by_role("option", name="From one day to another").click()
    page.get_by_test_id("report-from").fill("2026-11-02")
    page.get_by_test_id("report-to").fill("2026-11-01")
    page.get_by_test_id("report-make").click()
    expect(page.get_by_test_id("report-error")).to_have_text("This is before the first day.")
    page.get_by_test_id("report-to").fill("2999-01-01")
    page.get_by_test_id("report-make").click()
    expect(page.get_by_test_id("report-error")).to_contain_text("Must not be in the future")
    page.get_by_test_id("report-range").click()
    page.get_by_role("option", name="Last 7 days").click()
    page.get_by_test_id("report-format-csv").click()
    page.get_by_test_id("report-make").click()

    row = _rows(page).first
    expect(row).to_have_attribute("data-status", "ready")  # by itself
    with page.expect_download() as begun:
        row.get_by_test_id("report-download").click()
    file = tmp_path / begun.value.suggested_filename
    assert file.name.startswith("novapulse-endpoints-")
    begun.value.save_as(file)
    with file.open(newline="") as lines:
        assert "success_rate" in next(csv.reader(lines))

    # What a program asks for appears, too, on a page that is open.
    count = _rows(page).count()
    site.post("/reports", {"kind": "audit", "format": "pdf", "params": {"range": "last_24_hours"}})
    expect(_rows(page)).to_have_count(count + 1)
    expect(_rows(page).first).to_have_attribute("data-status", "ready")
    page.get_by_test_id("report-filter").click()
    page.get_by_role("option", name="Reliability").click()
    expect(_rows(page)).to_have_count(count)
    expect(page).to_have_url(f"{site.url}/reports?kind=endpoints")

    row = page.get_by_test_id(_rows(page).first.get_attribute("data-testid") or "")
    row.get_by_test_id("report-delete").click()
    page.get_by_test_id("report-delete-confirm").click()
    expect(row).to_have_count(0)


def test_a_report_is_made_again_and_again_until_its_schedule_is_deleted(page: Page, site: Site, watch: Watch) -> None:
    watch.allow(r"\b422\b")
    page.goto("/reports")
    page.get_by_test_id("report-new").click()
    page.get_by_test_id("report-when").click()
    page.get_by_role("option", name="Every Monday").click()
    expect(page.get_by_test_id("report-range")).to_have_text("Last week, Monday to Sunday")
    page.get_by_test_id("report-mail").fill("nobody")
    page.get_by_test_id("report-make").click()
    expect(page.get_by_test_id("report-error")).to_have_text("Give it a name.")
    name = site.name("weekly")
    page.get_by_test_id("report-name").fill(name)
    page.get_by_test_id("report-make").click()
    expect(page.get_by_test_id("report-error")).to_contain_text("Must be an e-mail address")
    page.get_by_test_id("report-mail").fill("ops@example.com, boss@example.com")
    page.get_by_test_id("report-make").click()

    schedule = page.locator("[data-testid^=report-schedule-]").filter(has_text=name)
    expect(schedule).to_contain_text("mailed to ops@example.com, boss@example.com")
    schedule.get_by_test_id("report-run").click()
    expect(_rows(page).first).to_contain_text("mailed to ops@example.com")
    expect(_rows(page).first).to_have_attribute("data-status", "ready")
    schedule.get_by_test_id("report-unschedule").click()
    page.get_by_test_id("report-unschedule-confirm").click()
    expect(schedule).to_have_count(0)
