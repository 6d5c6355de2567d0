"""Every page and state is for everybody: axe-core finds no violation, in both themes, on a desk and on a phone, and
nothing needs more room than a narrow or a wide screen has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.e2e import flows, kitchen
from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import Site
from tests.e2e.states import STATES, House, State, answer, fill, shown
from tests.e2e.watch import Watch
from tests.instance import Instance
from tests.receiver import receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
NARROW, WIDE = (360, 740), (2560, 1300)
# What sticks out of the screen, unless a box around it that fits cuts it off or lets it scroll; and tables that scroll.
STICKS_OUT = """() => {
  const width = window.innerWidth, box = (each) => each.getBoundingClientRect();
  const fits = (each) => box(each).left > -1 && box(each).right < width + 1;
  const cut = (each) => each && each !== document.body
    && (getComputedStyle(each).overflowX !== "visible" && fits(each) || cut(each.parentElement));
  const shown = (each) => each.checkVisibility({ opacityProperty: true }) && box(each).width > 0;
  const out = (each) => shown(each) && !each.closest(".np-skip") && !fits(each) && !cut(each.parentElement);
  const tables = [...document.querySelectorAll(".rt-TableRoot .rt-ScrollAreaViewport")];
  const found = [...document.body.querySelectorAll("*")].filter(out);
  const scrolled = tables.filter((each) => each.scrollWidth > each.clientWidth + 1);
  return [...found, ...scrolled].slice(0, 5).map((each) => each.outerHTML.slice(0, 200));
}"""


def _run_axe(page: Page, within: str | None) -> list[dict[str, Any]]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    run = "(within) => axe.run(within ?? document, { resultTypes: ['violations'] })"
    return page.evaluate(run, within)["violations"]


def violations(page: Page, *sizes: tuple[int, int], within: str | None = None) -> list[str]:
    """What axe-core says of the page as it is, or of a part of it, in each theme and at each size.

    Not each theme at each size: colours do not depend on the size, and one look costs half a second.
    """
    found: list[str] = []
    for theme, (width, height) in zip(cycle(THEMES), sizes if len(sizes) > 1 else sizes * 2 or (DESKTOP, PHONE)):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        if page.locator("html.light, html.dark").count():  # the pages to sign in on have style sheets of their own
            expect(page.locator("html")).to_have_class(re.compile(rf"\b{theme}\b"))
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(NEXT_FRAME)
        for violation in _run_axe(page, within):
            for node in violation["nodes"]:
                says = [each["message"] for kind in ("any", "all", "none") for each in node[kind]]
                found.append(f"{theme} {width}: {violation['id']}: {node['html'][:200]}: {says}")
    return found


def sticking_out(page: Page) -> list[str]:
    """What does not fit on the narrowest and the widest screen."""
    found: list[str] = []
    for width, height in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(NEXT_FRAME)
        found += [f"{width}: {each}" for each in page.evaluate(STICKS_OUT)]
    return found


@pytest.fixture(scope="module")
def house(_running_site: Site, _is_within_reach: bool) -> Iterator[House]:
    """The instance with something of everything."""
    if not _is_within_reach:
        pytest.skip("the instance at E2E_BASE_URL cannot send to this machine's loopback addresses")
    # Of its own mark, so that it stays when what a test made is deleted.
    own = Site(_running_site.url, _running_site.email, _running_site.password)
    own.sign_in()
    with receiving(answer) as receiver:
        key = own.post("/api-keys", {"name": own.name("key"), "scopes": ["events:write", "webhooks:read"]})
        made = fill(own, receiver)
        yield made
        for path in made.reports:
            own.client.delete(path)
        own.client.delete(f"/api-keys/{key['id']}")
        own.client.delete(f"/email-templates/{own.mark}-axe")
        kitchen.clear(own)
        flows.clear(own)
        own.clean()


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_it_is_for_everybody(page: Page, house: House, state: State) -> None:
    width, height = state.sizes[0]
    page.set_viewport_size({"width": width, "height": height})
    page.goto(state.path(house))
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    state.act(page)
    expect(shown(page, state)).to_be_visible()
    assert violations(page, *state.sizes, within=state.within) == []
    assert sticking_out(page) == []


def test_no_violation_where_one_signs_in(open_page: OpenPage, site: Site) -> None:
    page = open_page(site.url)
    page.goto("/login")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("login-error")).to_be_visible()
    assert violations(page) == []


def test_no_violation_on_an_empty_instance(new_instance: Callable[..., Instance], open_page: OpenPage) -> None:
    instance = new_instance()
    watch = Watch(instance.url)
    page = open_page(instance.url, watch=watch)
    page.goto("/login")
    assert violations(page) == []
    page.goto(instance.setup_link() or "")
    assert violations(page) == []
    page.get_by_test_id("setup-email").fill("grace@example.com")
    page.get_by_test_id("setup-password").fill("a compiler of many words 9")
    page.get_by_test_id("setup-submit").click()
    expect(page.get_by_test_id("checklist")).to_be_visible()
    expect(page.get_by_test_id("stat-delivered")).to_have_text("0")
    assert violations(page) == []
    for path, says in (("/webhooks", "No webhooks yet"), ("/settings/api-keys", "No API keys yet")):
        page.goto(path)
        expect(page.get_by_role("heading", name=says)).to_be_visible()
        assert violations(page) == []
