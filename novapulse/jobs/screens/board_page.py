"""`/jobs`: the queues, live."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.board_state import ACTS, BoardState
from novapulse.jobs.screens.charts import queue_charts
from novapulse.jobs.screens.meter import conservation_meter
from novapulse.jobs.screens.parts import jobs_page, loading, may_change, quiet
from novapulse.live.state import LiveState
from novapulse.ui.components import spark, stat_card, status_badge
from novapulse.ui.parts import page_link, time_ago

_CARD_HEIGHT = "398px"
_NUMBERS = ("waiting", "active", "delayed", "completed", "failed", "dead")


def board_page() -> rx.Component:
    """The four queues, all of them together, and how they went."""
    return jobs_page(
        rx.cond(
            LiveState.at == "",
            loading(
                "queues",
                rx.el.div(*(rx.skeleton(height=_CARD_HEIGHT) for _ in range(4)), class_name="np-queues"),
            ),
            rx.vstack(
                rx.el.div(rx.foreach(LiveState.queues, _card), class_name="np-queues"),
                _totals(),
                queue_charts(),
                conservation_meter(),
                spacing="4",
                align="stretch",
            ),
        ),
        _question(),
        tab="queues",
        text="What waits, what runs and what failed, in each queue, now.",
    )


def _card(q: Any) -> rx.Component:
    name = q["name"].to(str)
    return rx.el.section(
        rx.hstack(
            rx.heading(name, size="3", as_="h2", text_transform="capitalize"),
            status_badge(q["health"]),
            rx.cond(may_change, _acts(q)),
            align="center",
            min_height="32px",
            spacing="1",
        ),
        rx.box(_why(q), class_name="np-queue-why"),
        rx.el.dl(*(_number(q, each) for each in _NUMBERS), class_name="np-queue-numbers"),
        rx.el.div(
            _line(q["rate_line"], "Per second", q["per_s"], "Jobs that ended per second, in the last minute"),
            _line(q["wait_line"], "Wait, p99", q["wait_p99"], "How long jobs waited, in the last minute"),
            class_name="np-queue-lines",
        ),
        rx.el.p(
            rx.el.span(rx.el.b(q["workers"].to(str)), rx.cond(q["workers"] == "1", " worker", " workers")),
            rx.el.span("oldest ", rx.el.b(q["oldest"].to(str))),
            rx.el.span("errors ", rx.el.b(q["error"].to(str))),
            class_name="np-queue-foot",
        ),
        class_name="np-card np-num np-queue",
        aria_label="Queue " + name,
        custom_attrs={"data-testid": "queue-" + name, "data-health": q["health"], "data-mode": q["mode"]},
    )


def _why(q: Any) -> rx.Component:
    """Why it is as it is; the mode first, with by whom and since when."""
    paused = rx.cond(q["mode"] == "paused", "Paused", "Draining")
    return rx.cond(
        (q["mode"] == "paused") | (q["mode"] == "draining"),
        rx.fragment(
            rx.text(
                rx.icon("circle-pause", size=14),
                rx.el.span(
                    paused, " by ", rx.el.b(q["by"].to(str)), " ", time_ago(at=q["since"].to(str)),
                    rx.cond(q["note"] != "", rx.fragment(": “", q["note"].to(str), "”"), "."),
                ),
                size="1",
                class_name="np-queue-mode",
                custom_attrs={"data-testid": "queue-mode"},
            ),
            rx.foreach(q["reasons"].to(list[str])[1:], _reason),
        ),
        rx.cond(
            q["reasons"].to(list[str]).length() == 0,
            quiet("All is well."),
            rx.foreach(q["reasons"].to(list[str]), _reason),
        ),
    )  # fmt: skip


def _reason(reason: Any) -> rx.Component:
    return quiet(reason, custom_attrs={"data-testid": "queue-reason"})


def _sentence(sentence: Any) -> rx.Component:
    return rx.el.li(sentence)


def _number(q: Any, number: str) -> rx.Component:
    name = q["name"].to(str)
    value = q[number].to(str)
    # Attempts that failed are not in a state; what they have in common is on the page of failures.
    href = "/jobs/failures?queue=" + name if number == "failed" else f"/jobs/list?state={number}&queue=" + name
    shown = rx.fragment(value, rx.el.small(" of ", q["slots"].to(str))) if number == "active" else value
    title = {
        "active": "Running now, of as many as run at once",
        "failed": "Attempts that failed, ever",
        "dead": "No attempt left: somebody has to look",
    }.get(number, "")
    alarming = rx.cond((value != "0") & (value != "?"), "true", "false") if number == "dead" else "false"
    return rx.el.div(
        rx.el.dt(number.capitalize(), title=title),
        rx.el.dd(
            page_link(
                shown, to=href, custom_attrs={"data-testid": f"count-{number}", "aria-label": number + " " + value}
            )
        ),
        custom_attrs={"data-alarming": alarming},
    )


def _line(path: Any, label: str, value: Any, title: str) -> rx.Component:
    return rx.box(
        rx.hstack(quiet(label), rx.spacer(), rx.text(value.to(str), size="1", weight="medium"), spacing="1"),
        spark(path.to(str), title),
        min_width="0",
    )


def _acts(q: Any) -> rx.Component:
    def button(act: str, icon: str) -> rx.Component:
        return rx.icon_button(
            rx.icon(icon, size=15),
            variant="soft",
            color_scheme="gray",
            size="1",
            title=ACTS[act],
            on_click=BoardState.ask(q["name"].to(str), act),
            custom_attrs={"aria-label": f"{ACTS[act]} " + q["name"].to(str), "data-testid": f"queue-{act}"},
        )

    return rx.hstack(
        rx.cond(q["mode"] != "running", button("resume", "play")),
        rx.cond(q["mode"] == "running", button("drain", "arrow-down-to-line")),
        rx.cond(q["mode"] != "paused", button("pause", "pause")),
        spacing="1",
        margin_left="auto",
    )


def _question() -> rx.Component:
    """What an act will do, and why it is done."""
    s = BoardState
    title = rx.match(s.act, *ACTS.items(), "")
    return rx.dialog.root(
        rx.dialog.content(
            rx.dialog.title(title, " queue ", s.queue, "?", size="4"),
            rx.dialog.description(
                "What it will do, with the numbers of this moment:", color="var(--gray-11)", custom_attrs={"size": "2"}
            ),
            rx.el.ul(
                rx.foreach(s.sentences, _sentence),
                class_name="np-says",
                custom_attrs={"data-testid": "queue-consequences"},
            ),
            rx.form(
                rx.el.label(
                    rx.text("Why?", rx.el.small(" optional, shown on the card"), size="2", weight="medium"),
                    html_for="note",
                ),
                rx.text_area(
                    name="note",
                    id="note",
                    max_length=500,
                    rows="2",
                    margin_top="4px",
                    custom_attrs={"data-testid": "queue-note"},
                ),
                rx.cond(s.problem != "", rx.text(s.problem, size="2", color="var(--red-11)", role="alert")),
                rx.hstack(
                    rx.dialog.close(rx.button("Not now", type="button", variant="soft", color_scheme="gray")),
                    rx.button(title, type="submit", custom_attrs={"data-testid": "queue-confirm"}),
                    justify="end",
                    margin_top="16px",
                    spacing="3",
                ),
                on_submit=s.do,
            ),
            max_width="480px",
        ),
        open=s.queue != "",
        on_open_change=lambda _: s.close(),
    )


def _totals() -> rx.Component:
    t = LiveState.totals
    says = {
        "waiting": "due, and not begun",
        "active": "running now",
        "delayed": "not before a later time",
        "completed": "ended well, ever",
        "failed": "attempts, ever",
        "dead": "no attempt left",
    }
    return rx.el.section(
        rx.el.h2("All queues together", class_name="np-hidden"),
        rx.el.div(
            *(stat_card(n.capitalize(), t[n], note, testid=f"total-{n}") for n, note in says.items()),
            stat_card("Per second", t["per_s"], "ended, over ten seconds", testid="total-rate"),
            class_name="np-stats np-totals",
        ),
    )
