"""The form of a schedule, with what its cron expression means while it is typed."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.jobs.screens.parts import quiet
from novapulse.jobs.screens.schedules_state import SchedulesState
from novapulse.ui.components import field
from novapulse.ui.parts import time_ago

_PAUSE_MS = 350  # in typing, before what was typed is looked at
_OVERLAP = {
    "skip": "Make none while the last is open",
    "queue": "Make one all the same",
}


def schedule_form() -> rx.Component:
    """The form, in a dialog."""
    s = SchedulesState
    new = s.editing == "new"
    return rx.dialog.root(
        rx.dialog.content(
            rx.dialog.title(rx.cond(new, "New schedule", "Change schedule"), size="4"),
            rx.dialog.description(
                "A job is made each time; what it does is said by its task.",
                color="var(--gray-11)",
                custom_attrs={"size": "2"},
            ),
            rx.form(
                rx.vstack(
                    _input("name", "Name", placeholder="Nightly report", auto_focus=True),
                    rx.cond(
                        new,
                        _select("task", "Task", SchedulesState.tasks),
                        rx.text("Task: ", rx.el.code(s.texts["task"]), size="2"),
                    ),
                    rx.el.div(
                        _input(
                            "cron",
                            "Cron",
                            hint="Minute, hour, day of month, month, day of week",
                            on_change=lambda text: s.look_at_cron(text).debounce(_PAUSE_MS),
                        ),
                        _input(
                            "timezone",
                            "Time zone",
                            hint="As in Europe/Paris",
                            on_change=lambda text: s.look_at_timezone(text).debounce(_PAUSE_MS),
                        ),
                        class_name="np-halves",
                    ),
                    _meaning(),
                    field(
                        "Payload",
                        rx.text_area(
                            name="payload",
                            id="payload",
                            default_value=s.texts["payload"],
                            rows="5",
                            spell_check=False,
                            class_name="np-mono-area",
                            custom_attrs={
                                "data-testid": "schedule-payload",
                                "aria-invalid": (s.errors["payload"].to(str) != "").to_string(),
                            },
                        ),
                        error=s.errors["payload"].to(str),
                        hint="A JSON object, as the task wants it",
                        name="payload",
                    ),
                    _overlap(),
                    rx.cond(s.refused != "", rx.text(s.refused, size="2", color="var(--red-11)", role="alert")),
                    spacing="3",
                    align="stretch",
                    margin_top="14px",
                ),
                rx.hstack(
                    rx.dialog.close(rx.button("Cancel", type="button", variant="soft", color_scheme="gray")),
                    rx.button(
                        rx.cond(new, "Make it", "Save"), type="submit", custom_attrs={"data-testid": "schedule-save"}
                    ),
                    justify="end",
                    margin_top="18px",
                    spacing="3",
                ),
                on_submit=s.save,
                key=s.editing,
            ),
            max_width="560px",
        ),
        open=s.editing != "",
        on_open_change=lambda _: s.close(),
    )


def _input(name: str, label: str, *, hint: str = "", **props: Any) -> rx.Component:
    error = SchedulesState.errors[name].to(str)
    return field(
        label,
        rx.input(
            name=name,
            id=name,
            default_value=SchedulesState.texts[name],
            auto_complete=False,
            custom_attrs={"data-testid": f"schedule-{name}", "aria-invalid": (error != "").to_string()},
            **props,
        ),
        error=error,
        hint=hint,
        name=name,
    )


def _select(name: str, label: str, options: Any) -> rx.Component:
    return field(
        label,
        rx.select.root(
            rx.select.trigger(id=name, custom_attrs={"data-testid": f"schedule-{name}"}),
            rx.select.content(rx.foreach(options, _option)),
            name=name,
            default_value=SchedulesState.texts[name],
        ),
        error=SchedulesState.errors[name].to(str),
        name=name,
    )


def _option(name: Any) -> rx.Component:
    return rx.select.item(name, value=name)


def _overlap() -> rx.Component:
    return field(
        "When they overlap",
        rx.select.root(
            rx.select.trigger(id="overlap", custom_attrs={"data-testid": "schedule-overlap"}),
            rx.select.content(*(rx.select.item(label, value=value) for value, label in _OVERLAP.items())),
            name="overlap",
            default_value=SchedulesState.texts["overlap"],
        ),
        name="overlap",
    )


def _meaning() -> rx.Component:
    s = SchedulesState
    return rx.box(
        rx.cond(
            s.meaning != "",
            rx.fragment(
                rx.text(s.meaning, size="2", weight="medium", custom_attrs={"data-testid": "schedule-meaning"}),
                quiet("Next: ", rx.foreach(s.fires, lambda at: rx.el.span(time_ago(at=at), class_name="np-apart"))),
            ),
            quiet("Say when, and what it means is shown here."),
        ),
        class_name="np-meaning np-num",
        role="status",
    )
