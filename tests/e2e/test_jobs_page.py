"""What one does on the pages about jobs: look, pause, find, retry, cancel, discard, schedule."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.kitchen import BAKE, BURN, HOLDS_S, LATER, SIMMER, add, is_there, reaches, state_of
from tests.e2e.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def kitchen(site: Site) -> Iterator[Site]:
    """The instance, with tasks of the tests; its queues run before and after."""
    if not is_there(site):
        pytest.skip("the instance at E2E_BASE_URL does not have the tasks of tests/e2e/tasks.py")
    yield site
    for queue in ("email", "report"):
        site.post(f"/queue/{queue}/resume", {})


def at(page: Page, **query: str) -> None:
    """Wait until the URL has these parameters, in whatever order."""
    page.wait_for_url(lambda url: dict(parse_qsl(urlsplit(url).query)) == query)


def row(page: Page, job_id: str) -> Locator:
    return page.get_by_test_id(f"job-row-{job_id}")


def test_a_queue_is_paused_with_a_note_and_everybody_sees_it(
    page: Page, kitchen: Site, signed_in: Callable[..., Page]
) -> None:
    other = signed_in()
    for each in (page, other):
        each.goto("/jobs")
        expect(each.get_by_test_id("queue-email")).to_have_attribute("data-mode", "running")
    card = page.get_by_test_id("queue-email")
    card.get_by_test_id("queue-pause").click()
    expect(page.get_by_test_id("queue-consequences")).to_contain_text("no worker begins anything new")
    page.get_by_test_id("queue-note").fill("The provider is down")
    page.get_by_test_id("queue-confirm").click()
    for each in (page, other):
        said = each.get_by_test_id("queue-email").get_by_test_id("queue-mode")
        expect(said).to_contain_text(f"Paused by {kitchen.email}")
        expect(said).to_contain_text("The provider is down")
    time.sleep(HOLDS_S)
    before = card.get_by_test_id("count-waiting").inner_text()
    job = add(kitchen, SIMMER, seconds=0.2)
    for each in (page, other):
        waiting = each.get_by_test_id("queue-email").get_by_test_id("count-waiting")
        expect(waiting).to_have_text(str(int(before) + 1))

    # And the job says why it is not running; when the queue goes on, its page follows.
    other.goto(f"/jobs/{job}")
    expect(other.get_by_test_id("why-paused")).to_contain_text("The provider is down")
    expect(other.get_by_test_id("why-estimate")).to_contain_text("after the queue is resumed")
    card.get_by_test_id("queue-resume").click()
    expect(page.get_by_test_id("queue-consequences")).to_contain_text(re.compile(r"\d+ waiting"))
    page.get_by_test_id("queue-confirm").click()
    expect(card).to_have_attribute("data-mode", "running")
    expect(other.get_by_test_id("job-result")).to_have_text("done")
    expect(other.get_by_test_id("why-estimate")).to_have_count(0)
    # Nothing went missing over that, and the history has it marked.
    expect(page.get_by_test_id("meter-email").get_by_test_id("meter-drift")).to_have_text("0")
    page.goto("/jobs/history?span=15m")
    expect(page.get_by_test_id("mark").filter(has_text="The provider is down").first).to_be_visible()
    page.get_by_test_id("rewind-before").click()
    expect(page.get_by_test_id("rewind-email")).to_contain_text("of")
    page.goto("/jobs/history")
    page.get_by_test_id("rewind-zoom").click()
    page.wait_for_url(re.compile("span=3h"))
    expect(page.get_by_test_id("rewind-board")).to_be_visible()


def test_what_does_not_add_up_is_red_and_repaired(page: Page, site: Site) -> None:
    if site.instance is None:
        pytest.skip("changes the database, which is not to be done at E2E_BASE_URL")
    page.goto("/jobs")
    meter = page.get_by_test_id("meter-workflow")
    expect(meter).to_have_attribute("data-ok", "true")
    with closing(sqlite3.connect(site.instance.folder / "data" / "novapulse.db", timeout=20)) as database, database:
        lost = "UPDATE queue_count SET n = n + 3 WHERE queue = 'workflow' AND state = 'enqueued' AND shard = 0"
        if database.execute(lost).rowcount == 0:
            database.execute("INSERT INTO queue_count (queue, state, shard, n) VALUES ('workflow', 'enqueued', 0, 3)")
    expect(meter.get_by_test_id("meter-drift")).to_have_text("+3")
    expect(page.get_by_test_id("meter-verdict")).to_have_attribute("data-ok", "false")
    expect(page.get_by_test_id("queue-workflow")).to_contain_text("3 jobs are missing")
    meter.get_by_test_id("meter-repair").click()
    expect(meter.get_by_test_id("meter-drift")).to_have_text("0")
    expect(page.get_by_test_id("meter-verdict")).to_have_attribute("data-ok", "true")
    expect(page.get_by_test_id("meter-corrections")).to_contain_text("was off by +3")


def test_jobs_are_found_by_what_is_in_them_and_the_url_keeps_it(page: Page, kitchen: Site) -> None:
    word = uuid4().hex
    wanted = [add(kitchen, BAKE, cake=f"{word} {n}") for n in range(2)]
    other = add(kitchen, BAKE, cake="plain")
    reaches(kitchen, other, "completed")
    page.goto("/jobs/list")
    expect(row(page, other)).to_be_visible()
    page.get_by_test_id("jobs-search").fill(word)
    page.get_by_test_id("jobs-search").press("Enter")
    at(page, q=word)
    expect(row(page, other)).to_have_count(0)
    for each in wanted:
        expect(row(page, each)).to_have_attribute("data-state", "completed")
    page.get_by_test_id("state-dead").click()
    at(page, q=word, state="dead")
    expect(page.get_by_test_id("nothing-matches")).to_be_visible()
    page.go_back()
    expect(row(page, wanted[0])).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("jobs-search")).to_have_value(word)
    # Without a search, the states say how many are in them.
    page.goto("/jobs/list?queue=report&state=completed")
    expect(page.get_by_test_id("state-completed")).to_have_text(re.compile(r"Completed[\d,]+"))


def test_the_list_stands_still_while_rows_are_selected(page: Page, kitchen: Site) -> None:
    first, second = add(kitchen, BAKE, cake="one"), add(kitchen, BAKE, cake="two")
    page.goto(f"/jobs/list?task={BAKE}")
    expect(row(page, first)).to_have_attribute("data-state", "completed")
    row(page, first).get_by_role("checkbox").click()
    row(page, second).get_by_role("checkbox").click(modifiers=["Shift"])
    expect(row(page, second)).to_have_attribute("data-selected", "true")
    late = add(kitchen, BAKE, cake="late")
    expect(page.get_by_text("the list stands still")).to_be_visible()
    expect(row(page, late)).to_have_count(0)
    page.get_by_test_id("bulk-none").click()
    expect(row(page, late)).to_be_visible()


def test_what_failed_is_retried_by_a_job_that_one_can_watch(page: Page, kitchen: Site) -> None:
    word = uuid4().hex
    burnt = [add(kitchen, BURN, cake=word) for _ in range(3)]
    for each in burnt:
        reaches(kitchen, each, "dead")
    page.goto(f"/jobs/list?state=dead&q={word}")
    expect(row(page, burnt[0])).to_be_visible()
    page.get_by_test_id("select-all").click()
    page.get_by_test_id("bulk-retry").click()
    expect(page.get_by_test_id("bulk-touched")).to_contain_text("3 jobs are touched")
    expect(page.get_by_test_id("bulk-repeats")).to_contain_text("3 that were begun before")
    page.get_by_test_id("bulk-confirm").click()
    done = page.get_by_test_id("bulk-progress")
    expect(done).to_have_attribute("data-state", "completed")
    expect(done.get_by_test_id("bulk-says")).to_contain_text("3 of 3 retried")
    assert [kitchen.get(f"/jobs/{each}")["attempt_count"] for each in burnt] == [2, 2, 2]
    done.get_by_test_id("bulk-close").click()
    expect(done).to_have_count(0)

    # By cause, with one tried first: it fails again, so the others are left alone.
    fingerprint = kitchen.get(f"/jobs/{burnt[0]}")["fingerprint"]
    page.goto("/jobs/failures")
    group = page.get_by_test_id(f"failure-{fingerprint}")
    expect(group).to_contain_text("burnt")
    group.get_by_test_id("failure-retry").click()
    page.get_by_test_id("bulk-first").fill("none")
    page.get_by_test_id("bulk-confirm").click()
    expect(page.get_by_test_id("error-first")).to_be_visible()
    page.get_by_test_id("bulk-first").fill("1")
    page.get_by_test_id("bulk-confirm").click()
    expect(done).to_have_attribute("data-state", "completed")
    attempts = sorted(
        job["attempt_count"] for job in kitchen.get("/jobs", fingerprint=fingerprint, limit="200")["data"]
    )
    assert sum(n > 2 for n in attempts) == 1


def test_a_cancel_of_many_is_taken_back(page: Page, kitchen: Site) -> None:
    word = uuid4().hex
    late = [add(kitchen, LATER, cake=word) for _ in range(2)]
    for each in late:
        reaches(kitchen, each, "delayed")
    page.goto(f"/jobs/list?state=delayed&q={word}")
    expect(row(page, late[0])).to_be_visible()
    page.get_by_test_id("select-all").click()
    page.get_by_test_id("bulk-cancel").click()
    page.get_by_test_id("bulk-confirm").click()
    done = page.get_by_test_id("bulk-progress")
    expect(done.get_by_test_id("bulk-says")).to_contain_text("2 of 2 cancelled")
    expect(row(page, late[0])).to_have_count(0)
    done.get_by_test_id("undo-now").click()
    expect(done.get_by_test_id("bulk-says")).to_contain_text("taken back")
    for each in late:
        reaches(kitchen, each, "delayed")
    expect(row(page, late[0])).to_be_visible()


def test_a_job_says_what_went_wrong_and_can_be_put_right(page: Page, kitchen: Site) -> None:
    job = add(kitchen, BURN, cake="lemon", password="not for everybody")
    reaches(kitchen, job, "dead")
    page.goto(f"/jobs/{job}")
    expect(page.get_by_test_id("job-error")).to_contain_text("the cake lemon is burnt")
    expect(page.get_by_test_id("job-traceback").first).to_contain_text("RuntimeError")
    expect(page.get_by_test_id("job-log")).to_contain_text("The oven is too hot.")
    expect(page.get_by_test_id("job-payload")).to_contain_text("lemon")
    expect(page.get_by_test_id("job-payload")).not_to_contain_text("not for everybody")
    expect(page.get_by_test_id("job-attempt")).to_have_count(1)
    page.get_by_test_id("job-retry").click()
    expect(page.get_by_test_id("job-attempt")).to_have_count(2)
    page.get_by_test_id("job-pin").click()
    expect(page.get_by_text("Pinned: it is kept")).to_be_visible()
    # Whatever comes after it, it stands on top of the list.
    reaches(kitchen, add(kitchen, BAKE, cake="later"), "completed")
    page.goto("/jobs/list")
    expect(page.locator("[data-testid^=job-row-]").first).to_have_attribute("data-testid", f"job-row-{job}")
    page.goto(f"/jobs/{job}")
    page.get_by_test_id("job-pin").click()

    # It is deleted in ten seconds, unless that is taken back.
    page.get_by_test_id("job-discard").click()
    expect(page.get_by_test_id("undo")).to_contain_text("It is deleted")
    page.get_by_test_id("undo-now").click()
    expect(page.get_by_test_id("undo")).to_have_count(0)
    assert state_of(kitchen, job) == "dead"
    page.get_by_test_id("job-discard").click()
    expect(page.get_by_test_id("job-gone")).to_be_visible()


def test_a_running_job_shows_how_far_it_is_and_is_stopped(page: Page, kitchen: Site) -> None:
    job = add(kitchen, SIMMER, seconds=60)
    page.goto(f"/jobs/{job}")
    expect(page.get_by_test_id("job-progress")).to_contain_text("of 300 stirred")
    page.goto("/jobs/workers")
    expect(page.get_by_test_id("worker-heartbeat").first).to_be_visible()
    expect(page.get_by_test_id(f"doing-{job}")).to_contain_text(SIMMER)
    page.goto(f"/jobs/{job}")
    page.get_by_test_id("job-cancel").click()
    expect(page.get_by_test_id("job-error")).to_contain_text("Cancelled while it ran")
    assert state_of(kitchen, job) == "cancelled"


def test_a_schedule_is_made_run_changed_and_deleted(page: Page, kitchen: Site) -> None:
    name = kitchen.name("schedule")
    page.goto("/jobs/schedules")
    page.get_by_test_id("schedule-new").click()
    page.get_by_test_id("schedule-name").fill(name)
    page.get_by_test_id("schedule-task").click()
    page.get_by_role("option", name=BAKE).click()
    page.get_by_test_id("schedule-cron").fill("0 0 30 2 *")
    expect(page.get_by_test_id("error-cron")).to_contain_text("ever fires")
    page.get_by_test_id("schedule-cron").fill("30 5 * * MON")
    expect(page.get_by_test_id("schedule-meaning")).to_contain_text("Monday")
    page.get_by_test_id("schedule-payload").fill('{"slices": 0}')
    page.get_by_test_id("schedule-save").click()
    expect(page.get_by_test_id("error-payload")).to_contain_text("slices")
    page.get_by_test_id("schedule-payload").fill('{"cake": "bread"}')
    page.get_by_test_id("schedule-save").click()
    made = page.locator("tr").filter(has_text=name)
    expect(made).to_contain_text("Monday")
    made.get_by_test_id("schedule-run").click()
    expect(made.get_by_test_id("schedule-last").locator("visible=true")).to_have_text("completed")
    made.get_by_test_id("schedule-on").click()
    expect(made.get_by_test_id("schedule-on")).to_have_attribute("data-state", "unchecked")
    made.get_by_test_id("schedule-edit").click()
    page.get_by_test_id("schedule-name").fill(f"{name} II")
    page.get_by_test_id("schedule-save").click()
    expect(made).to_contain_text(f"{name} II")
    made.get_by_test_id("schedule-delete").click()
    page.get_by_test_id("schedule-delete-confirm").click()
    expect(made).to_have_count(0)
