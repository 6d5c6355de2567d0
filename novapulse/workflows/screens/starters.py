"""Workflows to start from."""

from __future__ import annotations

from typing import NamedTuple


class Starter(NamedTuple):
    """A definition to begin with."""

    key: str
    title: str
    about: str
    icon: str
    source: str


STARTERS = (
    Starter(
        "follow-up",
        "Follow up on an event",
        "An event sends an e-mail, waits a day, and tells your systems.",
        "mail",
        """name: Welcome a customer
description: Greets everybody who signs up, and tells the CRM a day later.
triggers:
  - event: customer.created
steps:
  - id: greet
    type: email
    to: "{{ input.email }}"
    subject: "Welcome, {{ input.name }}"
    text: |
      Good to have you, {{ input.name }}.
  - id: a_day
    type: wait
    seconds: 86400
  - id: tell
    type: webhook_event
    event_type: customer.welcomed
    data:
      id: "{{ input.id }}"
""",
    ),
    Starter(
        "decide",
        "Decide and escalate",
        "Large orders are checked by an API; what comes back decides what happens.",
        "split",
        """name: Check large orders
triggers:
  - event: order.placed
    if: input.total > 1000
steps:
  - id: check
    type: http
    method: POST
    url: https://risk.example.com/check
    headers:
      Authorization: "Bearer {{ secrets.risk_token }}"
    json:
      order: "{{ input.id }}"
      total: "{{ input.total }}"
    retries: 5
  - id: decide
    type: condition
    if: get(steps.check.output, "json.risk", 1) < 0.5
    then:
      - id: accept
        type: webhook_event
        event_type: order.accepted
        data:
          id: "{{ input.id }}"
    else:
      - id: ask
        type: email
        to: risk@example.com
        subject: "Order {{ input.id }} needs a look"
        text: "It is about {{ input.total }}."
""",
    ),
    Starter(
        "nightly",
        "Report every morning",
        "A schedule makes a report and tells who wants to know.",
        "file-chart-column",
        """name: Morning report
triggers:
  - cron: "0 7 * * 1-5"
    timezone: Europe/Berlin
steps:
  - id: deliveries
    type: report
    kind: deliveries
    format: xlsx
    params:
      range: yesterday
  - id: tell
    type: email
    to: ops@example.com
    subject: "Yesterday: {{ steps.deliveries.output.rows }} rows"
    text: "The report {{ steps.deliveries.output.report_id }} is ready."
""",
    ),
    Starter(
        "each",
        "Go through a list",
        "Each item of a list is worked on, three at a time, with two things done at once for each.",
        "repeat",
        """name: Ship every line
triggers:
  - event: order.paid
steps:
  - id: lines
    type: loop
    items: input.lines
    at_once: 3
    steps:
      - id: both
        type: parallel
        branches:
          - - id: stock
              type: webhook_event
              event_type: stock.reserve
              data:
                sku: "{{ item.sku }}"
          - - id: label
              type: http
              url: https://labels.example.com/print
              json:
                sku: "{{ item.sku }}"
                number: "{{ index + 1 }}"
  - id: done
    type: webhook_event
    event_type: order.shipping
    data:
      lines: "{{ steps.lines.output.count }}"
""",
    ),
)
BLANK = """name: My workflow
steps:
  - id: first
    type: webhook_event
    event_type: something.happened
    data: {}
"""
