"""The tables of accounts. Passwords, tokens and keys are in them as hashes only; times are ms since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Text
from sqlmodel import Field, SQLModel

from novapulse.core.actor import Role


class User(SQLModel, table=True):
    """A person who may sign in."""

    __tablename__ = "user_account"

    id: str = Field(primary_key=True)
    email: str = Field(unique=True)  # normalised
    role: str = Role.VIEWER
    password_hash: str  # Argon2id; empty: has none yet, and none opens it
    password_changed_at: int | None = Field(default=None, sa_type=BigInteger)
    active: bool = True
    mfa_on_at: int | None = Field(default=None, sa_type=BigInteger)  # None: signs in by password alone
    created_at: int = Field(default=0, sa_type=BigInteger)
    last_sign_in_at: int | None = Field(default=None, sa_type=BigInteger)


class Session(SQLModel, table=True):
    """A signed-in browser."""

    __tablename__ = "session"
    __table_args__ = (Index("uq_session_previous_hash", "previous_hash", unique=True),)

    id: str = Field(primary_key=True)  # public: shown in lists, never a credential
    token_hash: str = Field(unique=True)  # SHA-256 of what the cookie holds
    previous_hash: str | None = None  # the token before it, good for seconds more
    previous_until: int = Field(default=0, sa_type=BigInteger)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    device_id: str | None = None
    methods: str = "password"  # how it was begun, e.g. `password totp` (RFC 8176 calls them amr)
    sudo_until: int = Field(default=0, sa_type=BigInteger)  # proven to be themselves until then
    created_at: int = Field(default=0, sa_type=BigInteger)
    last_seen_at: int = Field(default=0, sa_type=BigInteger)
    ip: str = ""
    user_agent: str = ""
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class Device(SQLModel, table=True):
    """A browser somebody has signed in with before; it is told from strangers by a cookie of its own."""

    __tablename__ = "device"

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    token_hash: str = Field(unique=True)  # SHA-256
    user_agent: str = ""
    ip: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)
    last_seen_at: int = Field(default=0, sa_type=BigInteger)
    remembered_until: int = Field(default=0, sa_type=BigInteger)  # until then no second factor is asked for


class Throttle(SQLModel, table=True):
    """Failures in a row of one kind, and until when no further try is judged."""

    __tablename__ = "throttle"

    key: str = Field(primary_key=True)  # e.g. `password:usr_1:dev_1`
    failures: int = 0
    locked_until: int = Field(default=0, sa_type=BigInteger)
    updated_at: int = Field(default=0, sa_type=BigInteger, index=True)


class SignInCount(SQLModel, table=True):
    """Tries to sign in as somebody, per hour, network and result: bounded, however many there are."""

    __tablename__ = "sign_in_count"

    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", primary_key=True)
    hour: int = Field(sa_type=BigInteger, primary_key=True)  # its first ms
    network: str = Field(primary_key=True)  # /24 of IPv4, /48 of IPv6
    result: str = Field(primary_key=True)  # `ok`, `wrong_password`, `wrong_code`, `limited`
    count: int = 0
    last_at: int = Field(default=0, sa_type=BigInteger)


class Challenge(SQLModel, table=True):
    """Something begun that a second step ends: a sign-in that waits for its second factor, a WebAuthn ceremony."""

    __tablename__ = "challenge"

    token_hash: str = Field(primary_key=True)  # SHA-256
    kind: str
    user_id: str | None = Field(default=None, foreign_key="user_account.id", ondelete="CASCADE", index=True)
    device_id: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    failures: int = 0
    expires_at: int = Field(default=0, sa_type=BigInteger, index=True)


class Totp(SQLModel, table=True):
    """An authenticator app of somebody (RFC 6238)."""

    __tablename__ = "totp"

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    name: str
    secret: str = Field(sa_type=Text)  # encrypted
    last_step: int = Field(default=0, sa_type=BigInteger)  # of the last accepted code: none at or before it is
    created_at: int = Field(default=0, sa_type=BigInteger)
    confirmed_at: int | None = Field(default=None, sa_type=BigInteger)  # None: enrolment has begun
    proven_at: int | None = Field(default=None, sa_type=BigInteger)


class RecoveryCode(SQLModel, table=True):
    """One of the codes that stand in for a lost authenticator."""

    __tablename__ = "recovery_code"

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    code_hash: str  # Argon2id
    created_at: int = Field(default=0, sa_type=BigInteger)
    saved_at: int | None = Field(default=None, sa_type=BigInteger)  # None: the set waits for a proof that it was kept
    proven_at: int | None = Field(default=None, sa_type=BigInteger)  # shown to be at hand, without being used up
    used_at: int | None = Field(default=None, sa_type=BigInteger)


class Passkey(SQLModel, table=True):
    """A WebAuthn credential."""

    __tablename__ = "passkey"

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    name: str
    credential_id: str = Field(unique=True)  # base64url
    public_key: str = Field(sa_type=Text)  # base64url of COSE
    sign_count: int = Field(default=0, sa_type=BigInteger)
    transports: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    backed_up: bool = False  # synced by its provider
    created_at: int = Field(default=0, sa_type=BigInteger)
    proven_at: int | None = Field(default=None, sa_type=BigInteger)


class OneTimeLink(SQLModel, table=True):
    """A link that was mailed: to reset a password, to accept an invitation, to confirm an address, to stop a reset."""

    __tablename__ = "one_time_link"

    token_hash: str = Field(primary_key=True)  # SHA-256
    kind: str
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    data: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: int = Field(default=0, sa_type=BigInteger)
    expires_at: int = Field(default=0, sa_type=BigInteger, index=True)
    used_at: int | None = Field(default=None, sa_type=BigInteger)


class MfaReset(SQLModel, table=True):
    """An admin's request to take somebody's second factors away: a second admin agrees, and time passes."""

    __tablename__ = "mfa_reset"

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    reason: str
    requested_by: str
    requested_at: int = Field(default=0, sa_type=BigInteger)
    approved_by: str | None = None
    due_at: int = Field(default=0, sa_type=BigInteger)  # not before
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    outcome: str | None = None  # `done`, `cancelled`
    outcome_why: str | None = None


class SecurityRules(SQLModel, table=True):
    """What admins require of everybody. One row."""

    __tablename__ = "security_rules"

    id: int = Field(default=1, primary_key=True)
    rules: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    changed_at: int = Field(default=0, sa_type=BigInteger)


class ApiKey(SQLModel, table=True):
    """A credential for programs."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str
    prefix: str  # the first characters, to recognise it by
    key_hash: str = Field(unique=True)  # SHA-256 of the key
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    tenant: str | None = None
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    last_used_at: int | None = Field(default=None, sa_type=BigInteger)
    last_used_ip: str | None = None
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class SetupLink(SQLModel, table=True):
    """The one-time link by which the first admin is made. One row at most."""

    __tablename__ = "setup_link"

    id: int = Field(default=1, primary_key=True)
    token_hash: str
    created_at: int = Field(default=0, sa_type=BigInteger)


class AuditEntry(SQLModel, table=True):
    """Who did what. Never changed or deleted: the database itself refuses, and each row seals the one before."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_actor", "actor_id", "seq"),
        Index("ix_audit_target", "target_id", "seq"),
        Index("ix_audit_action", "action", "seq"),
        Index("ix_audit_noun", "noun", "seq"),
        Index("ix_audit_result", "result", "seq"),
        Index("ix_audit_at", "at", "seq"),
    )

    seq: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})  # without gaps
    id: str = Field(unique=True)
    at: int = Field(default=0, sa_type=BigInteger)
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str  # e.g. `webhook.deleted`
    noun: str  # what is before the dot
    target_kind: str = ""
    target_id: str = ""
    target_name: str = ""
    result: str = "ok"  # or `denied`, `failed`
    ip: str = ""
    request_id: str = ""
    detail: str = Field(default="{}", sa_type=Text)  # canonical JSON
    seal: str  # HMAC of this row and the seal of the one before


class AuditHead(SQLModel, table=True):
    """The last row of the log, and the keys of its seals. One row, locked by who appends."""

    __tablename__ = "audit_head"

    id: int = Field(default=1, primary_key=True)
    seq: int = Field(default=0, sa_type=BigInteger)
    seal: str = ""
    proof: str = ""  # HMAC of the two above: the seal of an older row does not make it the last
    # `since` which row, and the `key`, encrypted.
    keys: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
