"""What an act on many jobs would touch and repeat, before it is done; and how far it is, while it is done."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.bulk_state import BulkState
from novapulse.jobs.screens.parts import job_badge, progress_bar, quiet, undo_bar
from novapulse.ui.components import field
from novapulse.ui.connection import catch_up
from novapulse.ui.parts import page_link

_TITLES = {"retry": "Retry these jobs?", "cancel": "Cancel these jobs?", "discard": "Discard these jobs?"}
_WORDS = {
    "retry": "They run again as soon as a worker is free; each gets one attempt more.",
    "cancel": "What waits is not begun any more, and what runs is stopped. What waited can be put back until ten "
    "seconds after; what ran can only be retried.",
    "discard": "They are deleted for good, ten seconds after you confirm. Until then it can be undone.",
}
_DO = {"retry": "Retry", "cancel": "Cancel them", "discard": "Discard"}


def bulk_dialog() -> rx.Component:
    """The question, and below it the act that is being done."""
    return rx.fragment(_question(), _progress())


def _question() -> rx.Component:
    s = BulkState
    p = s.preview
    return rx.dialog.root(
        rx.dialog.content(
            rx.dialog.title(rx.match(s.act, *_TITLES.items(), ""), size="4"),
            rx.dialog.description(rx.match(s.act, *_WORDS.items(), ""), custom_attrs={"size": "2"}),
            rx.text(
                rx.el.b(p["touched"].to(str)),
                rx.cond(p["touched"] == "1", " job is touched", " jobs are touched"),
                rx.cond(p["untouched"] != "", ", left alone: " + p["untouched"].to(str), ""),
                ".",
                size="3",
                margin_top="14px",
                custom_attrs={"data-testid": "bulk-touched"},
            ),
            rx.el.div(rx.foreach(p["parts"].to(list[dict[str, Any]]), _part), class_name="np-preview"),
            rx.cond(
                p["repeats"].to(list[str]).length() > 0,
                rx.callout.root(
                    rx.callout.icon(rx.icon("repeat", size=16)),
                    rx.el.div(
                        rx.el.b("What may happen twice"),
                        rx.el.ul(rx.foreach(p["repeats"].to(list[str]), _repeat), class_name="np-says"),
                    ),
                    color_scheme="amber",
                    size="1",
                    margin_top="12px",
                    custom_attrs={"data-testid": "bulk-repeats"},
                ),
            ),
            rx.form(
                rx.cond(s.act == "retry", _canary()),
                rx.cond(s.problem != "", rx.text(s.problem, size="2", color="var(--red-11)", role="alert")),
                rx.hstack(
                    rx.dialog.close(rx.button("Not now", type="button", variant="soft", color_scheme="gray")),
                    rx.button(
                        rx.match(s.act, *_DO.items(), ""),
                        type="submit",
                        color_scheme=rx.cond(s.act == "retry", "indigo", "red"),
                        disabled=p["none"].to(bool),
                        custom_attrs={"data-testid": "bulk-confirm"},
                    ),
                    justify="end",
                    margin_top="16px",
                    spacing="3",
                ),
                on_submit=s.start,
            ),
            max_width="560px",
        ),
        open=s.act != "",
        on_open_change=lambda _: s.close(),
    )


def _repeat(text: Any) -> rx.Component:
    return rx.el.li(text)


def _part(part: Any) -> rx.Component:
    return rx.el.dl(
        rx.el.dt(part["name"].to(str)),
        rx.foreach(
            part["values"].to(list[dict[str, str]]),
            lambda value: rx.el.dd(rx.el.span(value["name"], class_name="np-cut"), rx.el.b(value["n"])),
        ),
        class_name="np-num",
    )


def _canary() -> rx.Component:
    s = BulkState
    number = {"first": "1", "batch": "50", "max_failures": "3"}
    labels = {"first": "Try first", "batch": "Then at a time", "max_failures": "Stop at new failures"}
    return rx.box(
        rx.el.label(
            rx.switch(checked=s.canary, on_change=s.set_canary, size="1", custom_attrs={"data-testid": "bulk-canary"}),
            rx.el.span(
                rx.text("Try one, then the rest", size="2", weight="medium"),
                quiet("In batches, and it stops by itself when they fail again."),
            ),
            class_name="np-switch",
        ),
        rx.cond(
            s.canary,
            rx.el.div(
                *(
                    field(
                        labels[name],
                        rx.input(
                            name=name,
                            id=name,
                            default_value=number[name],
                            input_mode="numeric",
                            custom_attrs={"data-testid": f"bulk-{name}"},
                        ),
                        error=s.errors[name].to(str),
                        name=name,
                    )
                    for name in number
                ),
                class_name="np-thirds",
            ),
        ),
        margin_top="14px",
    )


def _progress() -> rx.Component:
    s = BulkState
    button = {"size": "1", "variant": "soft"}
    return rx.cond(
        s.job_id != "",
        rx.el.section(
            catch_up(s.follow),
            rx.hstack(
                job_badge(s.state),
                rx.text(s.says, size="2", role="status", custom_attrs={"data-testid": "bulk-says"}),
                rx.spacer(),
                rx.cond(
                    s.may_undo & ~s.over,
                    rx.button("Undo", on_click=s.undo, **button, custom_attrs={"data-testid": "bulk-undo"}),
                ),
                page_link("Open", to="/jobs/" + s.job_id, class_name="np-link"),
                rx.cond(
                    s.over,
                    rx.button("Close", on_click=s.dismiss, color_scheme="gray", **button,
                              custom_attrs={"data-testid": "bulk-close"}),
                    rx.cond(
                        s.undo_until == "",
                        rx.button("Stop", on_click=s.stop, color_scheme="red", **button,
                                  custom_attrs={"data-testid": "bulk-stop"}),
                    ),
                ),
                align="center",
                wrap="wrap",
                width="100%",
            ),
            rx.cond(
                s.over,
                undo_bar(text="What waited can be put back.", until=s.undo_until, on_undo=s.undo),
                undo_bar(text="It begins in ten seconds.", until=s.undo_until, on_undo=s.stop),
            ),
            progress_bar(s.percent, "Progress of the act", margin_top="8px"),
            class_name="np-card np-num np-acting",
            aria_label="The act on many jobs",
            on_mount=s.follow,
            custom_attrs={"data-testid": "bulk-progress", "data-state": s.state},
        ),
    )  # fmt: skip
