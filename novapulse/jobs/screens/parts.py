"""What the pages about jobs have in common."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec, passthrough_event_spec

from novapulse.core.actor import Permission
from novapulse.live.state import LiveState
from novapulse.ui.parts import page_link
from novapulse.ui.shell import page_head, shell

_JOBS = "$/public" + rx.asset("jobs.jsx", shared=True)

# State -> Radix colour and lucide icon; the word is always shown as well.
STATES: dict[str, tuple[str, str]] = {
    "waiting": ("gray", "clock"),
    "active": ("blue", "play"),
    "delayed": ("amber", "timer"),
    "completed": ("green", "circle-check"),
    "dead": ("red", "skull"),
    "cancelled": ("gray", "ban"),
    "failed": ("red", "circle-x"),
}
TABS = (
    ("Queues", "/jobs", "queues"),
    ("All jobs", "/jobs/list", "list"),
    ("Failures", "/jobs/failures", "failures"),
    ("Workers", "/jobs/workers", "workers"),
    ("Schedules", "/jobs/schedules", "schedules"),
    ("History", "/jobs/history", "history"),
)
may_change = LiveState.may.contains(Permission.JOBS_WRITE.value)


class Undo(rx.Component):
    """Offers to take back what was done, until it cannot be."""

    library = _JOBS
    tag = "Undo"
    text: rx.Var[str]
    until: rx.Var[str]
    on_undo: rx.EventHandler[no_args_event_spec]


class Traceback(rx.Component):
    """A traceback, with what matters in it set off."""

    library = _JOBS
    tag = "Traceback"
    text: rx.Var[str]


class Picks(rx.Component):
    """Around boxes with `data-pick`: fires with the ids that are picked, or not any more."""

    library = _JOBS
    tag = "Picks"
    on_pick: rx.EventHandler[passthrough_event_spec(list[str], bool)]


undo_bar = Undo.create
traceback = Traceback.create
picks = Picks.create


def jobs_page(
    *children: rx.Component, tab: str, text: str, title: str = "Jobs", actions: tuple[rx.Component, ...] = ()
) -> rx.Component:
    """One of the pages, with the way to the others."""
    label = next(label for label, _, name in TABS if name == tab)
    crumbs: list[tuple[str | rx.Var[str], str | None]] = [("Jobs", None)]
    if tab != TABS[0][2]:
        crumbs = [("Jobs", "/jobs"), (label, None)]
    return shell(page_head(title, text, *actions), _tabs(tab), *children, active="Jobs", crumbs=crumbs)


def _tabs(here: str) -> rx.Component:
    def entry(label: str, href: str, name: str) -> rx.Component:
        attributes = {"data-testid": f"jobs-tab-{name}"} | ({"aria-current": "page"} if name == here else {})
        return page_link(label, to=href, class_name="np-subtab", custom_attrs=attributes)

    return rx.el.nav(*(entry(*tab) for tab in TABS), class_name="np-subtabs", aria_label="Pages about jobs")


def job_badge(state: Any, *, cancelling: Any = False) -> rx.Component:
    """The state of a job as icon, word and colour."""
    return rx.badge(
        rx.match(
            state, *((name, rx.icon(icon, size=13)) for name, (_, icon) in STATES.items()), rx.icon("circle", size=13)
        ),
        rx.cond(cancelling, "stopping", state),
        color_scheme=rx.match(state, *((name, color) for name, (color, _) in STATES.items()), "gray"),
        variant="soft",
        custom_attrs={"data-status": state},
    )


def quiet(*children: Any, **props: Any) -> rx.Component:
    """Small and grey: what is said beside."""
    return rx.text(*children, **({"size": "1", "color": "var(--gray-11)"} | props))


def loading(what: str, *children: rx.Component) -> rx.Component:
    """Skeletons, and the word for who cannot see them."""
    return rx.fragment(rx.el.span(f"Loading {what}…", class_name="np-hidden", role="status"), *children)


def progress_bar(percent: Any, label: str, **props: Any) -> rx.Component:
    """How far something is; -1: it does not tell."""
    return rx.cond(
        percent.to(int) >= 0,
        rx.progress(value=percent.to(int), size="1", custom_attrs={"aria-label": label}, **props),
    )


def fact(label: str, *value: Any, across: bool = False) -> rx.Component:
    """An entry of a list of facts; one `across` has the whole width."""
    return rx.el.div(rx.el.dt(label), rx.el.dd(*value), class_name="np-across" if across else "")
