"""The dialog that sends a trial message and shows what the mail server says."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# At class level Reflex turns fields into vars, which type checkers cannot see.

from __future__ import annotations

import reflex as rx

from novapulse.mail.screens.state import MailState
from novapulse.ui.components import field, status_badge


def trial_dialog() -> rx.Component:
    """The button and its dialog."""
    result = MailState.trial_result
    return rx.dialog.root(
        rx.dialog.trigger(
            rx.button(rx.icon("send", size=15), "Send a test", custom_attrs={"data-testid": "trial-open"})
        ),
        rx.dialog.content(
            rx.dialog.title("Send a test"),
            rx.dialog.description(
                "One message, sent now and past the queue. You see what the server says.",
                size="2",
                color="var(--gray-11)",
            ),
            rx.el.form(
                rx.vstack(
                    field(
                        "To",
                        rx.input(
                            id="trial-to",
                            type="email",
                            value=MailState.trial_to,
                            on_change=MailState.write_trial,
                            placeholder="you@example.com",
                            auto_complete=True,
                            width="100%",
                            custom_attrs={"data-testid": "trial-to"},
                        ),
                        name="trial-to",
                        error=MailState.trial_problem,
                    ),
                    rx.cond(
                        result.contains("words"),
                        rx.box(
                            rx.hstack(
                                status_badge(result["status"]),
                                rx.text(result["how"].to(str), size="2", color="var(--gray-11)"),
                                align="center",
                            ),
                            rx.el.pre(result["words"].to(str), class_name="np-pre", margin_top="8px", tab_index=0),
                            class_name="np-card",
                            role="status",
                            custom_attrs={"data-testid": "trial-result"},
                        ),
                    ),
                    rx.hstack(
                        rx.dialog.close(rx.button("Close", type="button", variant="soft", color_scheme="gray")),
                        rx.button("Send", type="submit", custom_attrs={"data-testid": "trial-send"}),
                        justify="end",
                        width="100%",
                    ),
                    spacing="3",
                    margin_top="12px",
                    align="stretch",
                ),
                on_submit=MailState.send_trial,
                no_validate=True,
            ),
            max_width="480px",
        ),
        open=MailState.trial_open,
        on_open_change=MailState.show_trial,
    )
