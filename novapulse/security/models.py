"""The tables of accounts. Passwords, tokens and keys are in them as hashes only; times are ms since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field, SQLModel

from novapulse.core.actor import Role


class User(SQLModel, table=True):
    """A person who may sign in."""

    __tablename__ = "user_account"

    id: str = Field(primary_key=True)
    email: str = Field(unique=True)  # normalised
    role: str = Role.VIEWER
    password_hash: str  # Argon2id
    active: bool = True
    failures: int = 0  # wrong passwords since the last right one
    locked_until: int = Field(default=0, sa_type=BigInteger)
    created_at: int = Field(default=0, sa_type=BigInteger)
    last_sign_in_at: int | None = Field(default=None, sa_type=BigInteger)


class Session(SQLModel, table=True):
    """A signed-in browser."""

    __tablename__ = "session"

    id: str = Field(primary_key=True)  # public: shown in lists, never a credential
    token_hash: str = Field(unique=True)  # SHA-256 of what the cookie holds
    user_id: str = Field(foreign_key="user_account.id", ondelete="CASCADE", index=True)
    created_at: int = Field(default=0, sa_type=BigInteger)
    last_seen_at: int = Field(default=0, sa_type=BigInteger)
    ip: str = ""
    user_agent: str = ""
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


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
    last_used_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class SetupLink(SQLModel, table=True):
    """The one-time link by which the first admin is made. One row at most."""

    __tablename__ = "setup_link"

    id: int = Field(default=1, primary_key=True)
    token_hash: str
    created_at: int = Field(default=0, sa_type=BigInteger)
