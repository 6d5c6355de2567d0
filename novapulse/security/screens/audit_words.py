"""What the audit log says, in words: after who did it and before what it was done to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The nouns of actions, as a filter names them.
SUBJECTS = {
    "webhook": "Webhooks",
    "delivery": "Deliveries",
    "event_type": "Event types",
    "job": "Jobs",
    "queue": "Queues",
    "schedule": "Schedules",
    "workflow": "Workflows",
    "workflow_run": "Runs of workflows",
    "mail": "Mail",
    "mail_template": "Mail templates",
    "user": "Users",
    "invitation": "Invitations",
    "api_key": "API keys",
    "sign_in": "Sign-ins",
    "session": "Sessions",
    "device": "Devices",
    "sudo": "Confirmations",
    "password": "Passwords",
    "email": "Addresses",
    "mfa": "Second factors",
    "passkey": "Passkeys",
    "mfa_reset": "Resets of second factors",
    "rules": "Rules",
    "setup": "Set-up",
    "access": "Refusals",
    "audit": "Audit log",
    "backup": "Backups",
    "key": "Keys",
}

_PHRASES = {
    "backup.made": "made backup",
    "backup.restored": "restored backup",
    "key.rotated": "encrypted all secrets anew with key",
    "webhook.created": "added webhook",
    "webhook.changed": "changed webhook",
    "webhook.paused": "paused webhook",
    "webhook.enabled": "enabled webhook",
    "webhook.disabled": "disabled webhook",
    "webhook.deleted": "deleted webhook",
    "webhook.tested": "sent a test to webhook",
    "webhook.secret_revealed": "looked at the secret of webhook",
    "webhook.secret_rotated": "rotated the secret of webhook",
    "delivery.retried": "sent again a delivery of",
    "delivery.cancelled": "cancelled a delivery of",
    "delivery.undone": "took back cancelling a delivery of",
    "job.retried": "ran again a job of",
    "job.cancelled": "cancelled a job of",
    "job.discarded": "discarded a job of",
    "job.undone": "took back what was done to a job of",
    "job.pinned": "pinned a job of",
    "job.unpinned": "unpinned a job of",
    "job.bulk_retried": "ran again many jobs by",
    "job.bulk_cancelled": "cancelled many jobs by",
    "job.bulk_discarded": "discarded many jobs by",
    "queue.paused": "paused queue",
    "queue.resumed": "resumed queue",
    "queue.draining": "began to drain queue",
    "schedule.created": "added schedule",
    "schedule.changed": "changed schedule",
    "schedule.deleted": "deleted schedule",
    "schedule.run": "ran schedule",
    "workflow.created": "added workflow",
    "workflow.changed": "saved a new version of workflow",
    "workflow.enabled": "turned on the triggers of workflow",
    "workflow.disabled": "turned off the triggers of workflow",
    "workflow.deleted": "deleted workflow",
    "workflow.started": "started workflow",
    "workflow.secret_set": "set a secret of workflow",  # pragma: allowlist secret
    "workflow.secret_deleted": "deleted a secret of workflow",  # pragma: allowlist secret
    "workflow_run.cancelled": "stopped a run of workflow",
    "workflow_run.retried": "had a run go on of workflow",
    "mail.retried": "sent again the message",
    "mail.tested": "sent a trial message to",
    "mail_template.created": "added mail template",
    "mail_template.changed": "changed mail template",
    "mail_template.deleted": "deleted mail template",
    "event_type.created": "added event type",
    "event_type.changed": "changed event type",
    "event_type.deleted": "deleted event type",
    "user.created": "added user",
    "user.changed": "changed user",
    "user.invited": "invited",
    "api_key.created": "made API key",
    "api_key.rotated": "rotated API key",
    "api_key.revoked": "revoked API key",
    "sign_in.succeeded": "signed in",
    "sign_in.failed": "failed to sign in",
    "session.revoked": "ended a session of",
    "session.signed_out": "signed out",
    "user.signed_out": "ended all sessions of",
    "invitation.accepted": "accepted the invitation",
    "password.changed": "changed their password",
    "password.reset": "set a new password by a link",
    "password.reset_asked": "asked for a link to set a new password",
    "password.reset_link_made": "made a link to set a new password for",
    "email.change_asked": "asked for another address:",
    "email.changed": "changed their address to",
    "device.forgotten": "had a device forgotten:",
    "sudo.granted": "confirmed who they are",
    "mfa.enabled": "turned on two-factor sign-in",
    "mfa.disabled": "turned off two-factor sign-in",
    "mfa.authenticator_added": "added authenticator",
    "mfa.authenticator_removed": "removed authenticator",
    "mfa.authenticator_renamed": "renamed authenticator",
    "mfa.proven": "tried out a second factor:",
    "mfa.recovery_code_used": "used a recovery code",
    "mfa.recovery_codes_made": "made new recovery codes",
    "mfa.recovery_codes_saved": "kept the recovery codes",
    "passkey.added": "added passkey",
    "passkey.removed": "removed passkey",
    "passkey.renamed": "renamed passkey",
    "mfa_reset.asked": "asked to reset the second factors of",
    "mfa_reset.approved": "approved resetting the second factors of",
    "mfa_reset.cancelled": "called off resetting the second factors of",
    "mfa_reset.stopped": "stopped resetting the second factors of",
    "mfa_reset.done": "reset the second factors of",
    "rules.changed": "changed the security rules",
    "setup.completed": "completed the set-up as",
    "access.denied": "was refused",
    "audit.exported": "exported the audit log",
}
# Their target is who acted, or what the phrase names already.
_WHOLE = {
    "sign_in.succeeded", "session.signed_out", "invitation.accepted", "password.changed", "password.reset",
    "password.reset_asked", "sudo.granted", "mfa.enabled", "mfa.disabled", "mfa.recovery_code_used",
    "mfa.recovery_codes_made", "mfa.recovery_codes_saved", "rules.changed", "audit.exported",
}  # fmt: skip


def phrase(action: str) -> str:
    """What was done, to be followed by the name of what it was done to."""
    known = _PHRASES.get(action)
    if known is not None:
        return known
    noun, _, verb = action.partition(".")
    return f"{verb.replace('_', ' ')} {noun.replace('_', ' ')}".strip()


def names_target(action: str) -> bool:
    """Whether the name of the target belongs behind the phrase."""
    return action not in _WHOLE


def page_of_target(action: str, kind: str, id_: str, detail: Mapping[str, Any]) -> str:
    """The page that shows what it was done to; empty: none does, or what it showed is gone."""
    if kind == "webhook" and action != "webhook.deleted":
        return f"/webhooks/{id_}"
    if kind == "workflow" and action != "workflow.deleted":
        return f"/workflows/runs/{detail['run_id']}" if "run_id" in detail else f"/workflows/{id_}"
    if kind == "delivery" and isinstance(detail.get("webhook_id"), str):
        return f"/webhooks/{detail['webhook_id']}?delivery={id_}"
    if kind == "job" and action != "job.discarded":
        return f"/jobs/{id_}"
    if kind == "email" and id_:
        return f"/mail?email={id_}"
    if kind == "mail_template" and not action.endswith(".deleted"):
        return f"/mail/templates/edit?name={id_}"
    return {"queue": "/jobs", "schedule": "/jobs/schedules"}.get(kind, "") if not action.endswith(".deleted") else ""
