"""What is shown once a webhook is made: its secret, and how a receiver checks the signatures made with it."""
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.ui.components import link_button, section
from novapulse.ui.parts import copy_button, secret_box
from novapulse.webhooks.screens.form_parts import from_top
from novapulse.webhooks.screens.verification import EXAMPLES, Example


def made(webhook_id: Any) -> rx.Component:
    """The secret to keep, code to verify with, and the way on."""
    return rx.vstack(
        from_top(),
        rx.callout(
            "The webhook is made. Keep its secret where you verify deliveries.",
            icon="circle-check",
            color_scheme="green",
            role="status",
            custom_attrs={"data-testid": "webhook-made"},
        ),
        section("Signing secret", secret_box(webhook_id=webhook_id, open=True, can_rotate=False)),
        section(
            "Verify deliveries",
            rx.text(
                "Each delivery is signed as Standard Webhooks has it. These receivers run as they are, with the "
                "secret in the environment variable WEBHOOK_SECRET.",
                size="2",
                color="var(--gray-11)",
                margin_bottom="10px",
            ),
            rx.tabs.root(
                rx.tabs.list(
                    *(
                        rx.tabs.trigger(each.name, value=each.name, custom_attrs={"data-testid": f"verify-{each.key}"})
                        for each in EXAMPLES
                    ),
                    wrap="wrap",
                ),
                *(_example(each) for each in EXAMPLES),
                default_value=EXAMPLES[0].name,
            ),
        ),
        rx.hstack(link_button("Open the webhook", to="/webhooks/" + webhook_id, testid="webhook-open", size="3")),
        spacing="4",
        align="stretch",
        class_name="np-form",
    )


def _example(example: Example) -> rx.Component:
    return rx.tabs.content(
        rx.hstack(
            rx.text(example.about, size="2", color="var(--gray-11)"),
            rx.spacer(),
            copy_button(text=example.code, label="Copy"),
            align="center",
            margin_y="10px",
        ),
        rx.el.pre(example.code, class_name="np-pre np-code", tab_index=0, aria_label=f"{example.name} code"),
        value=example.name,
    )
