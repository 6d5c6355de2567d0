"""`/webhooks/new` and `/webhooks/[id]/edit`."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import field, link_button, section
from novapulse.ui.shell import page_head, shell
from novapulse.webhooks.guard import URL_MAX
from novapulse.webhooks.screens.form_parts import event_types_field, focus_wrong, headers_field, tell_again, visit
from novapulse.webhooks.screens.form_state import FormState
from novapulse.webhooks.screens.made import made
from novapulse.webhooks.screens.retry_state import RetryState
from novapulse.webhooks.screens.schedule import PRESETS
from novapulse.webhooks.screens.url_state import UrlState

_PAUSE_MS = 350  # in typing, before what was typed is looked at
_MARKS = {"fine": "circle-check", "unsure": "circle-help", "refused": "circle-x", "checking": "loader-circle"}


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
            section("Where to", _stack(_url(), _text("name", "Name", "Billing service", ""), _description())),
            section("Which events", _stack(_event_types(), _tenant())),
            section("When an attempt fails", _retry()),
            section("How it is sent", _stack(_pace(), _order(), _headers())),
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


def _stack(*children: rx.Component) -> rx.Component:
    return rx.vstack(*children, spacing="4", align="stretch", width="100%")


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


def _input(name: str, placeholder: str, **props: Any) -> rx.Component:
    attributes = {
        "data-testid": f"webhook-{name.replace('_', '-')}",
        "aria-invalid": rx.cond(FormState.errors.contains(name), "true", "false"),
    }
    return rx.input(
        name=name,
        id=name,
        default_value=FormState.texts[name],
        on_change=props.pop("on_change", lambda _: FormState.forget(name).debounce(_PAUSE_MS)),
        placeholder=placeholder,
        width="100%",
        custom_attrs=attributes | props.pop("custom_attrs", {"aria-describedby": f"{name}-hint"}),
        **props,
    )


def _text(name: str, label: str, placeholder: str, hint: str, *, optional: bool = True, **props: Any) -> rx.Component:
    described = {} if hint else {"custom_attrs": {}}
    return field(
        label,
        _input(name, placeholder, **described, **props),
        error=FormState.errors.get(name, ""),
        hint=hint,
        name=name,
        optional=optional,
    )


def _url() -> rx.Component:
    def check(url: Any) -> list[Any]:
        return [UrlState.check(url).debounce(_PAUSE_MS), FormState.forget("url").debounce(_PAUSE_MS)]

    refused = (UrlState.verdict == "refused") | FormState.errors.contains("url")
    says = rx.cond(FormState.errors.contains("url"), FormState.errors["url"], UrlState.says)
    verdict = rx.hstack(
        rx.match(
            UrlState.verdict,
            *((name, rx.icon(icon, size=14, flex="none")) for name, icon in _MARKS.items()),
            rx.icon("radar", size=14, flex="none"),
        ),
        rx.match(
            UrlState.verdict,
            ("", "Checked as you type, without sending anything."),
            ("checking", "Looking it up…"),
            UrlState.says,
        ),
        class_name="np-verdict",
        custom_attrs={"data-verdict": UrlState.verdict, "data-testid": "url-verdict"},
    )
    error = rx.hstack(
        rx.icon("circle-x", size=14, flex="none"),
        rx.el.span(says, custom_attrs={"data-testid": "error-url"}),
        class_name="np-verdict",
        custom_attrs={"data-verdict": "refused"},
    )
    return rx.vstack(
        rx.el.label(rx.text("URL", size="2", weight="medium", as_="span"), html_for="url"),
        _input(
            "url",
            "https://example.com/webhooks",
            on_change=check,
            input_mode="url",
            max_length=URL_MAX + 1,
            custom_attrs={
                "aria-describedby": "url-line",
                "aria-invalid": rx.cond(refused, "true", "false"),
                "spellCheck": "false",
                "autoCapitalize": "off",
            },
        ),
        rx.el.div(rx.cond(refused, error, verdict), id="url-line", aria_live="polite"),
        spacing="1",
        align="stretch",
        width="100%",
    )


def _description() -> rx.Component:
    return field(
        "Description",
        rx.text_area(
            name="description",
            id="description",
            default_value=FormState.texts["description"],
            on_change=lambda _: FormState.forget("description").debounce(_PAUSE_MS),
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
        on_forget=FormState.forget("event_types"),
    )


def _tenant() -> rx.Component:
    return rx.box(
        _text(
            "tenant",
            "Tenant",
            "none",
            "Takes the events of this tenant alone; without one, the events that name no tenant.",
            auto_complete=False,
            list="tenants",
        ),
        rx.el.datalist(rx.foreach(FormState.tenants, lambda name: rx.el.option(value=name)), id="tenants"),
    )


def _retry() -> rx.Component:
    error = rx.cond(FormState.errors.contains("retry"), FormState.errors["retry"], RetryState.problem)

    def draw(text: Any) -> list[Any]:
        return [RetryState.draw(text).debounce(_PAUSE_MS), FormState.forget("retry").debounce(_PAUSE_MS)]

    def choose(text: str) -> list[Any]:
        return [rx.set_value("retry", text), RetryState.draw(text), FormState.forget("retry")]

    return _stack(
        rx.el.div(
            *(
                rx.el.button(
                    preset.label,
                    type="button",
                    on_click=choose(preset.text),
                    custom_attrs={
                        "aria-pressed": rx.cond(RetryState.preset == preset.key, "true", "false"),
                        "data-testid": f"retry-{preset.key}",
                    },
                )
                for preset in PRESETS
            ),
            class_name="np-choices",
            role="group",
            aria_label="Schedules to choose from",
        ),
        field(
            "Wait before each retry",
            _input(
                "retry",
                next(preset for preset in PRESETS if preset.key == "default").shown,
                on_change=draw,
                custom_attrs={
                    "aria-describedby": "retry-hint",
                    "aria-invalid": rx.cond(error != "", "true", "false"),
                },
            ),
            error=error,
            hint="As 5 s, 5 min, 2 h, 1 d; a plain number is seconds.",
            name="retry",
            optional=True,
        ),
        rx.el.div(
            rx.el.ol(rx.foreach(RetryState.steps, _step), class_name="np-steps", aria_label="Attempts"),
            rx.el.p(
                RetryState.total,
                role="status",
                class_name="np-note",
                title="Each wait is lengthened by up to a fifth, so that retries do not come all at once.",
                custom_attrs={"data-testid": "retry-total"},
            ),
            custom_attrs={"data-testid": "retry-timeline"},
            class_name="np-schedule",
        ),
    )


def _step(step: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(step["n"].to(int), class_name="np-step-n"),
        rx.el.span(step["wait"].to(str), class_name="np-step-wait"),
        style={"--grow": step["grow"].to(float)},
        title=step["at"].to(str),
        custom_attrs={"data-testid": "retry-step", "data-last": step["last"].to(bool).to_string()},
    )


def _pace() -> rx.Component:
    return rx.el.div(
        _text("timeout_s", "Timeout in seconds", "15", "1 to 30: how long an answer is waited for.", optional=False),
        _text("rate_limit", "Rate limit per second", "no limit", "Deliveries beyond it wait their turn."),
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
        on_forget=FormState.forget("headers"),
    )


def _skeleton() -> rx.Component:
    return rx.vstack(
        *(rx.skeleton(height=height, width="100%", border_radius="10px") for height in ("306px", "420px", "290px")),
        rx.el.span("Loading…", class_name="np-hidden", role="status"),
        spacing="4",
        class_name="np-form",
    )
