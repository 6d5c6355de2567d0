"""`/webhooks/new` and `/webhooks/[id]/edit`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import field, link_button, section
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.screens.form_fields import PAUSE_MS, stack, text_field
from novapulse.webhooks.screens.form_parts import event_types_field, focus_wrong, headers_field, tell_again, visit
from novapulse.webhooks.screens.form_state import FormState
from novapulse.webhooks.screens.made import made
from novapulse.webhooks.screens.retry_field import retry_field
from novapulse.webhooks.screens.retry_state import RetryState
from novapulse.webhooks.screens.url_field import url_field
from novapulse.webhooks.screens.url_state import UrlState


def new_page() -> rx.Component:
    """Making a webhook."""
    return shell(
        page_head("New webhook", "A URL that gets your events, signed and retried until they arrive."),
        visit(
            _skeleton(),
            rx.cond(FormState.made_id != "", made(FormState.made_id), _form("Create webhook", "/webhooks")),
            visit=FormState.visit,
            on_enter=FormState.enter_new,
        ),
        active="Webhooks",
        crumbs=[("Webhooks", "/webhooks"), ("New webhook", None)],
    )


def edit_page() -> rx.Component:
    """Changing a webhook."""
    return shell(
        page_head("Edit webhook", "Changes hold from the next attempt on."),
        visit(
            _skeleton(),
            _form("Save changes", "/webhooks/" + FormState.webhook_id),
            visit=FormState.visit,
            on_enter=FormState.enter_edit,
        ),
        active="Webhooks",
        crumbs=[("Webhooks", "/webhooks"), ("Edit", None)],
    )


def _form(submit: str, back: Any) -> rx.Component:
    return rx.form(
        focus_wrong(saves=FormState.saves),
        tell_again(visit=FormState.visit, field="retry", on_tell=RetryState.draw),
        rx.cond(FormState.may_save, tell_again(visit=FormState.visit, field="url", on_tell=UrlState.check)),
        rx.vstack(
            _notices(),
            section("Where to", stack(url_field(), text_field("name", "Name", "Billing service", ""), _description())),
            section("Which events", stack(_event_types(), _tenant())),
            section("When an attempt fails", retry_field()),
            section("How it is sent", stack(_pace(), _order(), _headers())),
            rx.hstack(
                rx.button(
                    submit,
                    type="submit",
                    size="3",
                    disabled=~FormState.may_save,
                    custom_attrs={"data-testid": "webhook-save"},
                ),
                link_button("Cancel", to=back, testid="webhook-cancel", variant="soft", color_scheme="gray", size="3"),
            ),
            spacing="4",
            align="stretch",
        ),
        on_submit=FormState.save,
        class_name="np-form",
    )


def _notices() -> rx.Component:
    return rx.fragment(
        rx.cond(
            FormState.may_save,
            rx.fragment(),
            rx.callout(
                "You may look at webhooks and not change them. An operator or admin can.",
                icon="lock",
                color_scheme="gray",
                custom_attrs={"data-testid": "form-read-only"},
            ),
        ),
        rx.cond(
            FormState.problem != "",
            rx.callout(FormState.problem, icon="triangle-alert", color_scheme="red", role="alert"),
        ),
    )


def _description() -> rx.Component:
    return field(
        "Description",
        rx.text_area(
            name="description",
            id="description",
            default_value=FormState.texts["description"],
            on_change=lambda _: FormState.forget("description").debounce(PAUSE_MS),
            rows="2",
            custom_attrs={
                "data-testid": "webhook-description",
                "aria-invalid": rx.cond(FormState.errors.contains("description"), "true", "false"),
            },
        ),
        error=FormState.errors.get("description", ""),
        name="description",
        optional=True,
    )


def _event_types() -> rx.Component:
    return event_types_field(
        types=FormState.types,
        more=FormState.more_types,
        initial=FormState.patterns,
        error=FormState.errors.get("event_types", ""),
        on_forget=FormState.forget("event_types").debounce(PAUSE_MS),
    )


def _tenant() -> rx.Component:
    return rx.box(
        text_field(
            "tenant",
            "Tenant",
            "none",
            "Takes the events of this tenant alone; without one, the events that name no tenant.",
            auto_complete=False,
            list="tenants",
        ),
        rx.el.datalist(rx.foreach(FormState.tenants, lambda name: rx.el.option(value=name)), id="tenants"),
    )


def _pace() -> rx.Component:
    return rx.el.div(
        text_field("timeout_s", "Timeout in seconds", "15", "1 to 30: the longest wait for an answer.", optional=False),
        text_field("rate_limit", "Rate limit per second", "no limit", "Deliveries beyond it wait their turn."),
        class_name="np-pair np-even",
    )


def _order() -> rx.Component:
    return rx.el.label(
        rx.switch(
            name="ordered",
            default_checked=FormState.ordered,
            custom_attrs={"data-testid": "webhook-ordered", "aria-describedby": "ordered-hint"},
        ),
        rx.el.span(
            rx.text("Send one after the other, oldest first", size="2", weight="medium", as_="span"),
            rx.text(
                "Each delivery waits until the one before it has arrived or was given up, so they come in order. "
                "One that keeps failing holds up all that follow.",
                size="1",
                color="var(--gray-11)",
                id="ordered-hint",
            ),
        ),
        class_name="np-switch",
    )


def _headers() -> rx.Component:
    return headers_field(
        initial=FormState.headers,
        error=FormState.errors.get("headers", ""),
        on_forget=FormState.forget("headers").debounce(PAUSE_MS),
    )


def _skeleton() -> rx.Component:
    return rx.vstack(
        *(rx.skeleton(height=height, width="100%", border_radius="10px") for height in ("306px", "420px", "290px")),
        rx.el.span("Loading…", class_name="np-hidden", role="status"),
        spacing="4",
        class_name="np-form",
    )
