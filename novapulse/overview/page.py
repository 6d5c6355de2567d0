"""`/`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.live.state import LiveState
from novapulse.overview.state import OverviewState
from novapulse.ui.components import section, skeleton_rows, spark, stat_card, status_badge
from novapulse.ui.parts import page_link, time_ago, watch
from novapulse.ui.shell import page_head, shell

_WIDE_ONLY = ("Active", "Delayed", "Dead", "Per s")


def overview_page() -> rx.Component:
    """The overview."""
    return shell(
        watch(value=LiveState.changes["*"], on_change=OverviewState.load),
        page_head("Overview", "The last 24 hours, and what is happening now."),
        rx.cond(
            OverviewState.loaded & ~(OverviewState.has_webhook & OverviewState.has_delivery & OverviewState.has_key),
            _checklist(),
            rx.fragment(),
        ),
        # The first live change may come before the first snapshot, and tell no more than itself.
        rx.cond(LiveState.overview.contains("rate"), _live(), skeleton_rows(6)),
        active="Overview",
        crumbs=[("Overview", None)],
    )


def _live() -> rx.Component:
    seen = LiveState.overview
    return rx.vstack(
        rx.el.div(
            stat_card(
                "Delivered", seen["delivered"].to(str), "to receivers that answered 2xx", testid="stat-delivered"
            ),
            stat_card("Failed", seen["failed"].to(str), "no attempt left", testid="stat-failed"),
            stat_card("Success rate", seen["rate"].to(str), "of all attempts", testid="stat-rate"),
            stat_card("p95", seen["p95"].to(str), "19 of 20 attempts are faster", testid="stat-p95"),
            stat_card("Open", seen["open"].to(str), "waiting, sending or retrying now", testid="stat-open"),
            rx.box(
                rx.text("Deliveries per second", size="1", color="var(--gray-11)", weight="medium"),
                rx.text(LiveState.per_s, size="6", weight="bold", custom_attrs={"data-testid": "stat-rate-now"}),
                spark(LiveState.rate_line, "Deliveries per second in the last minute"),
                class_name="np-card np-num",
            ),
            class_name="np-stats",
        ),
        rx.el.div(
            _column(
                section("Failing webhooks", _failing(seen["failing_webhooks"].to(list[dict[str, Any]]))),
                section("Latest failures", _failures(seen["latest_failures"].to(list[dict[str, Any]]))),
                section("Workers", _workers()),
            ),
            _column(section("Happening now", _feed()), section("Queues", _queues())),
            class_name="np-two",
        ),
        spacing="4",
        width="100%",
        align="stretch",
    )


def _column(*cards: rx.Component) -> rx.Component:
    return rx.vstack(*cards, spacing="4", align="stretch", min_width="0")


def _checklist() -> rx.Component:
    return rx.box(
        rx.heading("Get started", size="4", as_="h2", margin_bottom="8px"),
        rx.el.ol(
            _step(OverviewState.has_webhook, "Add a webhook", "Tell NovaPulse where to send events.", "/webhooks/new"),
            _step(OverviewState.has_delivery, "Send a test", "Open the webhook and press “Send test”.", "/webhooks"),
            _step(OverviewState.has_key, "Make an API key", "Your program sends events with it.", "/settings/api-keys"),
            class_name="np-steps",
        ),
        class_name="np-card",
        margin_bottom="16px",
        custom_attrs={"data-testid": "checklist"},
    )


def _step(done: Any, title: str, text: str, href: str) -> rx.Component:
    return rx.el.li(
        rx.cond(done, rx.icon("circle-check", color="var(--green-11)", size=18), rx.icon("circle", size=18)),
        rx.el.span(rx.cond(done, "Done:", "To do:"), class_name="np-hidden"),
        rx.vstack(
            page_link(title, to=href, class_name="np-link"),
            rx.text(text, size="1", color="var(--gray-11)"),
            spacing="0",
        ),
        custom_attrs={"data-testid": "step", "data-done": rx.cond(done, "true", "false")},
    )


def _quiet(text: Any) -> rx.Component:
    return rx.text(text, size="2", color="var(--gray-11)")


def _failing(webhooks: Any) -> rx.Component:
    return rx.cond(
        webhooks.length() == 0,
        _quiet("None: every webhook that was sent to answers."),
        rx.vstack(
            rx.foreach(
                webhooks,
                lambda w: rx.hstack(
                    rx.box(status_badge(w["health"]), width="92px", flex="none"),
                    page_link(
                        rx.cond(w["name"] != "", w["name"], w["url"]).to(str),
                        to="/webhooks/" + w["id"].to(str),
                        class_name="np-link np-cut",
                    ),
                    align="center",
                    min_width="0",
                    custom_attrs={"data-testid": "failing-webhook"},
                ),
            ),
            width="100%",
        ),
    )


def _failures(failures: Any) -> rx.Component:
    return rx.cond(
        failures.length() == 0,
        _quiet("None in sight."),
        rx.vstack(rx.foreach(failures, _failure), spacing="2", width="100%"),
    )


def _failure(d: Any) -> rx.Component:
    return rx.hstack(
        rx.box(status_badge(d["status"]), width="92px", flex="none"),
        page_link(
            d["event_type"].to(str),
            to="/webhooks/" + d["webhook_id"].to(str) + "?delivery=" + d["id"].to(str),
            class_name="np-link np-cut",
        ),
        rx.spacer(),
        rx.text(rx.cond(d["last_status_code"], d["last_status_code"], d["last_error"]), size="1", class_name="np-num"),
        rx.text(time_ago(at=d["created_at"].to(str)), size="1", color="var(--gray-11)", white_space="nowrap"),
        align="center",
        width="100%",
        min_width="0",
        custom_attrs={"data-testid": "latest-failure"},
    )


def _feed() -> rx.Component:
    return rx.cond(
        LiveState.feed.length() == 0,
        _quiet("Quiet. Deliveries appear here the moment they are made."),
        rx.vstack(
            rx.foreach(
                LiveState.feed[:10],
                lambda d: rx.hstack(
                    rx.box(status_badge(d["status"]), width="92px", flex="none"),
                    page_link(
                        d["event_type"].to(str),
                        to="/webhooks/" + d["webhook_id"].to(str) + "?delivery=" + d["delivery_id"].to(str),
                        class_name="np-link np-cut",
                    ),
                    rx.spacer(),
                    rx.text(d["duration_ms"].to_string() + " ms", size="1", class_name="np-num", white_space="nowrap"),
                    rx.text(time_ago(at=d["at"].to(str)), size="1", color="var(--gray-11)", white_space="nowrap"),
                    align="center",
                    width="100%",
                    min_width="0",
                    custom_attrs={"data-testid": "feed-row"},
                ),
            ),
            spacing="2",
            width="100%",
            min_height="300px",
        ),
    )


def _queues() -> rx.Component:
    return rx.table.root(
        rx.table.header(
            rx.table.row(
                *(
                    rx.table.column_header_cell(t, class_name="np-wide-only" if t in _WIDE_ONLY else "")
                    for t in ("Queue", "Waiting", *_WIDE_ONLY, "Health")
                )
            )
        ),
        rx.table.body(
            rx.foreach(
                LiveState.queues,
                lambda q: rx.table.row(
                    rx.table.row_header_cell(q["name"].to(str)),
                    rx.table.cell(q["waiting"].to(str)),
                    *(
                        rx.table.cell(q[name].to(str), class_name="np-wide-only")
                        for name in ("active", "delayed", "dead", "per_s")
                    ),
                    rx.table.cell(status_badge(q["health"]), title=q["why"].to(str)),
                ),
            )
        ),
        size="1",
        class_name="np-num",
    )


def _workers() -> rx.Component:
    return rx.cond(
        LiveState.workers.length() == 0,
        _quiet(
            rx.cond(
                LiveState.workers_known, "No worker is running: deliveries wait.", "Not known: Valkey cannot be asked."
            )
        ),
        rx.vstack(
            rx.foreach(
                LiveState.workers,
                lambda w: rx.hstack(
                    rx.icon("cpu", size=15, color="var(--gray-11)"),
                    rx.text(w["name"].to(str), size="2", class_name="np-cut"),
                    rx.spacer(),
                    rx.text(w["busy"].to(str), size="1", color="var(--gray-11)", white_space="nowrap"),
                    rx.text(w["mb"].to(str), size="1", color="var(--gray-11)", white_space="nowrap"),
                    width="100%",
                    align="center",
                    min_width="0",
                ),
            ),
            width="100%",
        ),
    )
