"""Making a workflow, running it, and watching the run, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_workflow_is_written_marked_saved_run_and_watched(
    page: Page, site: Site, signed_in: Callable[..., Page]
) -> None:
    name, type_ = site.name("flow"), site.event_type("greeted")
    page.goto("/workflows")
    page.get_by_test_id("workflow-create").first.click()
    page.get_by_test_id("starter-blank").click()
    source = page.get_by_test_id("workflow-source")
    expect(source).to_have_value(re.compile("something.happened"))
    # What is wrong is said at its line, and cannot be saved.
    text = f"name: {name}\nsteps:\n  - id: greet\n    type: webhook_event\n    event_type: {type_}\n"
    source.fill(text + "    needs: [nobody]\n")
    expect(page.get_by_test_id("workflow-errors")).to_contain_text("there is no step 'nobody'")
    expect(page.get_by_test_id("workflow-error-line-6")).to_be_visible()
    expect(page.get_by_test_id("workflow-save")).to_be_disabled()
    source.fill(text + "    data: {to: '{{ input.to }}'}\n  - id: nap\n    type: wait\n    seconds: 3600\n")
    expect(page.get_by_test_id("flow-step-nap")).to_be_visible()
    page.get_by_test_id("workflow-save").click()
    page.wait_for_url(re.compile("/workflows/wf_"))
    expect(page.get_by_role("heading", level=1)).to_have_text(name)

    page.get_by_test_id("workflow-run").click()
    page.get_by_test_id("run-input").fill("[1]")
    page.get_by_test_id("run-start").click()
    expect(page.get_by_test_id("run-problem")).to_contain_text("an object")
    page.get_by_test_id("run-input").fill('{"to": "Ada"}')
    page.get_by_test_id("run-start").click()
    page.wait_for_url(re.compile("/workflows/runs/run_"))
    # It goes on while one looks: the first step is done, the second waits.
    expect(page.get_by_test_id("flow-step-greet")).to_have_attribute("data-state", "completed")
    expect(page.get_by_test_id("flow-step-nap")).to_have_attribute("data-state", "waiting")
    page.get_by_test_id("flow-step-greet").click()
    expect(page.get_by_test_id("step-input")).to_contain_text('"to": "Ada"')
    expect(page.get_by_test_id("step-output")).to_contain_text("evt_")
    page.get_by_test_id("drawer-close").click()

    # Somebody else stops it: seen here, without loading anything.
    other = signed_in()
    other.goto(page.url)
    other.get_by_test_id("run-cancel").click()
    other.get_by_test_id("run-cancel-confirm").click()
    expect(page.get_by_test_id("run-state")).to_contain_text("cancelled")
    expect(page.get_by_test_id("flow-step-nap")).to_have_attribute("data-state", "cancelled")

    page.goto("/workflows?q=" + site.mark)
    row = page.locator("[data-testid^=workflow-row-]").filter(has_text=name)
    expect(row).to_contain_text("cancelled")
    row.get_by_role("switch").click()
    expect(row.get_by_role("switch")).not_to_be_checked()
    row.get_by_role("link", name=name).click()
    page.get_by_test_id("tab-secrets").click()
    page.get_by_test_id("secret-name").fill("token")
    page.get_by_test_id("secret-value").fill("hush-hush-42")
    page.get_by_test_id("secret-save").click()
    expect(page.get_by_test_id("secret-forget-token")).to_be_visible()
    assert "hush" not in page.content()
    page.get_by_test_id("workflow-delete").click()
    page.get_by_test_id("confirm-name").fill(name)
    page.get_by_test_id("confirm-delete").click()
    page.wait_for_url(re.compile("/workflows$"))
    expect(row).to_have_count(0)
