"""Choosing event types in the webhook form: the tree of known types, patterns, and what they match now."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from novapulse.webhooks.matching import matches
from tests.e2e.conftest import OpenPage
from tests.e2e.site import ELSEWHERE, Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMES = ("order", "order.created", "order.item.added", "order.item.removed", "orders.all", "user.signed_up")
MANY = 300


class Types:
    """Types of the catalogue below a root of their own."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.root = f"e2e{uuid4().hex[:8]}"
        self.known: list[str] = []

    def name(self, rest: str) -> str:
        return f"{self.root}.{rest}"

    def add(self, *names: str) -> None:
        for name in names:
            self.known.append(self._site.post("/event-types", {"name": self.name(name)})["name"])

    def remove(self) -> None:
        for name in self.known:
            self._site.client.delete(f"/event-types/{name}").raise_for_status()


@pytest.fixture
def types(site: Site) -> Iterator[Types]:
    made = Types(site)
    made.add(*NAMES)
    yield made
    made.remove()


def open_form(page: Page, path: str = "/webhooks/new") -> None:
    page.goto(path)
    expect(page.get_by_test_id("type-search")).to_be_visible()


@pytest.fixture
def form(page: Page, types: Types) -> Page:
    """The form, its tree narrowed to these types, with nothing chosen."""
    open_form(page)
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("type-search").fill(types.root)
    return page


def box(page: Page, pattern: str) -> Locator:
    return page.get_by_test_id(f"type-{pattern}")


def write(page: Page, text: str) -> None:
    page.get_by_test_id("webhook-event-types").fill(text)
    page.get_by_test_id("type-add").click()


def chosen(page: Page) -> list[str]:
    return page.get_by_test_id("type-chosen").locator("code").all_inner_texts()


def taken(page: Page) -> list[str]:
    return page.get_by_label("Types that are taken now").locator("code").all_inner_texts()


def made(page: Page, site: Site) -> list[str]:
    """Save the form; the event types of the webhook it made."""
    name = site.name("events")
    page.get_by_test_id("webhook-name").fill(name)
    page.get_by_test_id("webhook-url").fill(ELSEWHERE)
    page.get_by_test_id("webhook-save").click()
    expect(page.get_by_test_id("webhook-made")).to_be_visible()
    (webhook,) = site.get("/webhooks", q=name)["data"]
    return webhook["event_types"]


def test_types_and_groups_are_ticked_in_the_tree(form: Page, site: Site, types: Types) -> None:
    items, created = types.name("order.item.*"), types.name("order.created")
    box(form, created).check()
    box(form, items).check()
    expect(box(form, types.name("order.item.added")), "its group takes it").to_be_checked()
    expect(box(form, types.name("order.item.added"))).to_be_disabled()
    expect(box(form, types.name("order"))).not_to_be_checked()
    assert box(form, types.name("order.*")).evaluate("box => box.indeterminate"), "some of it is chosen"
    assert taken(form) == [types.name(each) for each in ("order.created", "order.item.added", "order.item.removed")]
    assert made(form, site) == [created, items]


def test_a_wider_choice_swallows_what_it_covers_and_gives_it_back(form: Page, types: Types) -> None:
    created, orders, user = (types.name(each) for each in ("order.created", "order.*", "user.signed_up"))
    box(form, created).check()
    box(form, user).check()
    box(form, orders).check()
    assert chosen(form) == [user, orders]
    box(form, "*").check()
    assert chosen(form) == ["*"]
    expect(box(form, orders)).to_be_checked()
    expect(box(form, orders)).to_be_disabled()
    box(form, "*").uncheck()
    assert chosen(form) == [user, orders]
    box(form, orders).uncheck()
    assert chosen(form) == [user, created]


def test_every_event_type_is_the_default(page: Page, site: Site, types: Types) -> None:
    open_form(page)
    expect(box(page, "*")).to_be_checked()
    assert set(types.known) <= set(taken(page))
    assert made(page, site) == ["*"]


def test_the_search_narrows_the_tree(form: Page, types: Types) -> None:
    search = form.get_by_test_id("type-search")
    search.fill(f"{types.root}.order.ITEM")
    expect(box(form, types.name("order.item.added"))).to_be_visible()
    expect(box(form, types.name("order.created"))).to_have_count(0)
    search.press("Enter")
    expect(search, "it is not the form's").to_be_visible()
    search.fill("there is no such type")
    expect(form.get_by_text("No known type has “there is no such type” in it")).to_be_visible()
    expect(form.get_by_test_id("type-tree").get_by_role("checkbox")).to_have_count(0)
    search.fill("")
    expect(form.get_by_test_id("type-tree").get_by_role("checkbox").first).to_be_visible()


def test_patterns_show_how_many_known_types_they_match(form: Page, site: Site, types: Types) -> None:
    """As the server matches them, which is asked here."""
    rests = ("order.*", "order.item.*", "order", "orders.*", "order.item", "ord.*", "user.signed_up", "user.signed.*")
    patterns = [types.name(rest) for rest in rests]
    write(form, ", ".join(patterns))
    assert chosen(form) == patterns
    for pattern in patterns:
        number = sum(matches(pattern, name) for name in types.known)
        says = {0: "matches none that was seen yet", 1: "1 known type"}.get(number, f"{number} known types")
        expect(form.get_by_test_id("type-chosen").get_by_role("listitem").filter(has_text=pattern).last).to_be_visible()
        row = form.get_by_test_id("type-chosen").locator("li", has=form.get_by_text(pattern, exact=True))
        expect(row.locator("small"), pattern).to_have_text(says)
    expected = [name for name in types.known if any(matches(pattern, name) for pattern in patterns)]
    assert taken(form) == sorted(expected)
    expect(form.get_by_test_id("type-taken")).to_contain_text(f"Takes {len(expected)} of ")
    for pattern in patterns[1:]:
        form.get_by_role("button", name=f"Remove {pattern}", exact=True).click()
    assert made(form, site) == patterns[:1]


def test_a_pattern_that_is_written_counts_before_it_is_added(form: Page, site: Site, types: Types) -> None:
    form.get_by_test_id("webhook-event-types").fill(types.name("user.*"))
    expect(form.get_by_test_id("type-taken")).to_contain_text("Takes 1 of ")
    assert made(form, site) == [types.name("user.*")]


def test_a_type_that_was_not_seen_yet_can_be_chosen(form: Page, site: Site, types: Types) -> None:
    field = form.get_by_test_id("webhook-event-types")
    field.fill(types.name("refund.made"))
    field.press("Enter")
    expect(field).to_have_value("")
    expect(form.get_by_test_id("type-chosen")).to_contain_text("matches none that was seen yet")
    expect(form.get_by_test_id("type-taken")).to_have_text("Takes no known type now.")
    assert made(form, site) == [types.name("refund.made")]


def test_what_is_no_pattern_is_told_and_stays_to_be_mended(form: Page, types: Types) -> None:
    field, error = form.get_by_test_id("webhook-event-types"), form.get_by_test_id("error-event_types")
    for wrong in ("in..voice", "*.paid", "invoice.*.paid", "invoice.", "a" * 129, "ünicode"):
        field.fill(f"{types.name('fine')} {wrong}")
        field.press("Enter")
        expect(error, wrong).to_contain_text(f"“{wrong}” is no pattern")
        expect(field).to_have_value(wrong)
        assert chosen(form) == [types.name("fine")], "what is right is taken"
        form.get_by_test_id("webhook-save").click()
        expect(form.get_by_test_id("webhook-save"), "nothing is saved").to_be_visible()
        field.fill("")
        expect(error).to_have_count(0)
        form.get_by_role("button", name="Remove").click()
    longest = "a" * 128 + ".*"
    write(form, longest)
    assert chosen(form) == [longest]


def test_choosing_nothing_is_told_on_saving(form: Page) -> None:
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    form.get_by_test_id("webhook-save").click()
    error = form.get_by_test_id("error-event_types")
    expect(error).to_have_text("Choose at least one event type, or every one.")
    expect(form.get_by_test_id("webhook-event-types")).to_be_focused()
    box(form, "*").check()
    expect(error).to_have_count(0)


def test_the_tree_is_worked_by_keyboard(page: Page, types: Types) -> None:
    open_form(page)
    box(page, "*").uncheck()
    page.get_by_test_id("type-search").fill(types.root)
    page.get_by_test_id("type-search").press("Tab")
    first = box(page, types.name("*"))
    expect(first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(box(page, types.name("order"))).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert chosen(page) == [types.name("order.*")]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(first).to_be_focused()
    page.get_by_test_id("type-search").fill("")
    group = box(page, types.name("*"))
    group.focus()
    fold = page.get_by_role("button", name=f"Types of {types.name('*')}", exact=True)
    was = fold.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowLeft" if was else "ArrowRight")
    expect(fold).to_have_attribute("aria-expanded", str(not was).lower())
    expect(group).to_be_focused()


def test_what_is_chosen_is_not_hidden_when_a_webhook_is_edited(page: Page, site: Site, types: Types) -> None:
    types.add(*(f"many{n // 10}.type{n}" for n in range(40)))
    name = types.name("many2.type25")
    webhook = site.webhook(ELSEWHERE, name)
    open_form(page, f"/webhooks/{webhook['id']}/edit")
    expect(box(page, name)).to_be_checked()
    expect(box(page, types.name("many3.*")), "a group without it is folded away with its parents").to_be_visible()
    expect(box(page, types.name("many3.type30"))).to_have_count(0)


def test_hundreds_of_types_stay_quick(page: Page, types: Types) -> None:
    types.add(*(f"kind{n // 20}.sub{n // 5}.type{n}" for n in range(MANY)))
    open_form(page)
    page.get_by_test_id("type-*").uncheck()
    shown = page.get_by_test_id("type-tree").get_by_role("checkbox")
    assert shown.count() < MANY / 2, "the groups begin folded"
    page.get_by_test_id("type-search").fill(types.root)
    expect(shown).to_have_count(5 + len(NAMES) + MANY + MANY // 5 + MANY // 20)
    took = page.evaluate(
        """async (testid) => {
            const box = document.querySelector(`[data-testid="${testid}"]`);
            const began = performance.now();
            box.click();
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return performance.now() - began;
        }""",
        f"type-{types.name('kind3.*')}",
    )
    expect(page.get_by_test_id("type-taken")).to_contain_text("Takes 20 of ")
    assert took < 400, f"a tick took {took:.0f} ms"


def test_archived_types_are_not_offered(page: Page, site: Site, types: Types) -> None:
    gone = types.name("user.signed_up")
    site.client.patch(f"/event-types/{gone}", json={"archived": True}).raise_for_status()
    open_form(page)
    page.get_by_test_id("type-search").fill(types.root)
    expect(box(page, types.name("order.created"))).to_be_visible()
    expect(box(page, gone)).to_have_count(0)


def test_the_form_fits_a_narrow_phone(open_page: OpenPage, site: Site, types: Types) -> None:
    types.add("a_rather_long_segment_of_a_type.and_another_one_that_is_long.happened_at_last")
    page = open_page(site.url, cookies=site.cookies(), size=(360, 740))
    open_form(page)
    page.get_by_test_id("type-search").fill(types.root)
    write(page, types.name("a_rather_long_segment_of_a_type.and_another_one_that_is_long.*"))
    page.get_by_test_id("header-add").click()
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main *:not(.np-hidden)")]
            .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
            .map((each) => each.outerHTML.slice(0, 120))"""
    )
    assert wide == []
