"""What each scope of an API key lets a program do, in a sentence."""

from __future__ import annotations

from novapulse.core.actor import Permission

SENTENCES: dict[Permission, str] = {
    Permission.EVENTS_WRITE: "Send events. All that most programs need.",
    Permission.EVENTS_READ: "Read events and their data.",
    Permission.WEBHOOKS_READ: "See webhooks, their statistics and the event types.",
    Permission.WEBHOOKS_WRITE: "Make, change, pause and delete webhooks and event types.",
    Permission.WEBHOOKS_SECRET: "Read and rotate signing secrets.",
    Permission.DELIVERIES_READ: "Read the delivery log: requests, answers and timings.",
    Permission.DELIVERIES_WRITE: "Send deliveries again, and cancel them.",
    Permission.JOBS_READ: "See queues and workers.",
    Permission.JOBS_WRITE: "Pause queues, make jobs, and retry or discard them.",
    Permission.EMAILS_READ: "See e-mails that are sent.",
    Permission.EMAILS_WRITE: "Send e-mails.",
    Permission.REPORTS_READ: "See and download reports.",
    Permission.REPORTS_WRITE: "Make reports.",
    Permission.WORKFLOWS_READ: "See workflows and their runs.",
    Permission.WORKFLOWS_WRITE: "Define, run and cancel workflows.",
    Permission.METRICS: "Read the metrics for Prometheus.",
    Permission.AUDIT_READ: "Read the audit log.",
    Permission.KEYS_WRITE: "Make and revoke API keys.",
    Permission.USERS_WRITE: "Make users and change what they may do.",
}
