"""`/webhooks/new` and `/webhooks/[id]/edit`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import field, link_button
from novapulse.ui.parts import copy_button, secret_box
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.screens.form_state import FormState
from novapulse.webhooks.screens.verification import EXAMPLES


def new_page() -> rx.Component:
    """Making a webhook."""
    return shell(
        page_head("New webhook", "A URL that gets your events, signed and retried until they arrive."),
        rx.cond(FormState.made_id != "", _made(), _form("Create webhook", "/webhooks")),
        active="Webhooks",
        crumbs=[("Webhooks", "/webhooks"), ("New webhook", None)],
    )


def edit_page() -> rx.Component:
    """Changing a webhook."""
    return shell(
        page_head("Edit webhook", "Changes hold from the next attempt on."),
        _form("Save changes", "/webhooks/" + FormState.webhook_id),
        active="Webhooks",
        crumbs=[("Webhooks", "/webhooks"), ("Edit", None)],
    )


def _form(submit: str, back: Any) -> rx.Component:
    return rx.form(
        rx.vstack(
            rx.cond(FormState.problem != "", rx.callout(FormState.problem, icon="triangle-alert", color_scheme="red")),
            rx.box(
                rx.vstack(
                    _text("url", "URL", "https://example.com/webhooks", "Events are sent here by POST."),
                    rx.cond(
                        FormState.url_ok,
                        rx.text("✓ This URL can be sent to.", size="1", color="var(--green-11)"),
                        rx.fragment(),
                    ),
                    _text("name", "Name", "Billing service", "", optional=True),
                    _text("description", "Description", "", "", optional=True),
                    spacing="4",
                ),
                class_name="np-card",
            ),
            rx.box(_events(), class_name="np-card"),
            rx.box(
                rx.vstack(
                    rx.el.div(
                        _text("timeout_s", "Timeout in seconds", "15", "1 to 30"),
                        _text("rate_limit", "Rate limit per second", "no limit", "", optional=True),
                        _text("tenant", "Tenant", "", "Takes this tenant's events only.", optional=True),
                        class_name="np-two",
                    ),
                    _text(
                        "retry",
                        "Retry schedule in seconds",
                        "0, 5, 300, 1800, 7200, 18000, 36000, 36000",
                        "Delay before each attempt; empty for the default.",
                        optional=True,
                    ),
                    _timeline(),
                    field(
                        "Headers",
                        rx.text_area(
                            value=FormState.values["headers"],
                            on_change=lambda v: FormState.change("headers", v),
                            placeholder="Authorization: Bearer …",
                            rows="3",
                            id="headers",
                            class_name="np-mono",
                            custom_attrs={"data-testid": "webhook-headers"},
                        ),
                        error=FormState.errors.get("headers", ""),
                        hint="One per line; kept encrypted, sent with every delivery.",
                        name="headers",
                        optional=True,
                    ),
                    rx.text(
                        rx.hstack(
                            rx.switch(checked=FormState.ordered, on_change=FormState.set_order),
                            "Send one after the other, oldest first",
                            align="center",
                        ),
                        as_="label",
                        size="2",
                    ),
                    spacing="4",
                ),
                class_name="np-card",
            ),
            rx.hstack(
                rx.button(submit, type="submit", size="3", custom_attrs={"data-testid": "webhook-save"}),
                link_button("Cancel", to=back, testid="webhook-cancel", variant="soft", color_scheme="gray", size="3"),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=lambda _: FormState.save(),  # type: ignore[call-arg]
        max_width="760px",
    )


def _text(name: str, label: str, placeholder: str, hint: str, *, optional: bool = False) -> rx.Component:
    return field(
        label,
        rx.debounce_input(
            rx.input(
                value=FormState.values[name],
                on_change=lambda value: FormState.change(name, value),
                placeholder=placeholder,
                id=name,
                width="100%",
                custom_attrs={"data-testid": f"webhook-{name.replace('_', '-')}"},
            ),
            debounce_timeout=250,
        ),
        error=FormState.errors.get(name, ""),
        hint=hint,
        name=name,
        optional=optional,
    )


def _events() -> rx.Component:
    return rx.vstack(
        _text("event_types", "Event types", "*", "invoice.paid, invoice.* for all below, or * for all."),
        rx.cond(
            FormState.known_types.length() > 0,
            rx.vstack(
                rx.text("Pick from what was sent before", size="1", color="var(--gray-11)"),
                rx.flex(
                    rx.foreach(
                        FormState.known_types,
                        lambda name: rx.button(
                            name,
                            type="button",
                            size="1",
                            variant=rx.cond(FormState.matching.contains(name), "soft", "outline"),
                            on_click=FormState.add_type(name),
                        ),
                    ),
                    wrap="wrap",
                    gap="6px",
                ),
                spacing="1",
            ),
        ),
        spacing="3",
        align="stretch",
    )


def _timeline() -> rx.Component:
    return rx.flex(
        rx.foreach(
            FormState.timeline,
            lambda step, place: rx.hstack(
                rx.badge(step, variant="soft", color_scheme=rx.cond(place == 0, "indigo", "gray")),
                rx.cond(place < FormState.timeline.length() - 1, rx.icon("arrow-right", size=12)),
                align="center",
                spacing="1",
            ),
        ),
        wrap="wrap",
        gap="4px",
        aria_label="Attempts",
    )


def _made() -> rx.Component:
    return rx.vstack(
        rx.callout(
            "The webhook is made. Keep its secret where you verify deliveries.",
            icon="circle-check",
            color_scheme="green",
        ),
        rx.box(
            rx.heading("Signing secret", size="3", as_="h2", margin_bottom="10px"),
            secret_box(webhook_id=FormState.made_id, open=True, can_rotate=False),
            class_name="np-card",
        ),
        rx.box(
            rx.heading("Verify deliveries", size="3", as_="h2", margin_bottom="10px"),
            rx.tabs.root(
                rx.tabs.list(*(rx.tabs.trigger(name, value=name) for name in EXAMPLES), wrap="wrap"),
                *(
                    rx.tabs.content(
                        rx.hstack(rx.spacer(), copy_button(text=code, label="Copy"), margin_y="8px"),
                        rx.el.pre(code, class_name="np-pre", tab_index=0),
                        value=name,
                    )
                    for name, code in EXAMPLES.items()
                ),
                default_value=next(iter(EXAMPLES)),
            ),
            class_name="np-card",
        ),
        link_button("Open the webhook", to="/webhooks/" + FormState.made_id, testid="webhook-open", size="3"),
        spacing="4",
        max_width="760px",
        align="stretch",
    )
