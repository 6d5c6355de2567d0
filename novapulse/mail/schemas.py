"""What crosses the API about mail."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

RECIPIENTS_MAX = 50
FILES_MAX = 10
TEXT_MAX = 512 * 1024
SOURCE_MAX = 100_000  # characters of a part of a template
# RFC 5321, 4.1.2, without quotes and comments, and a domain that DNS can name.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")  # RFC 6838, 4.2
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_UNPRINTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_address(address: str) -> str:
    """An address that every mail server can name.

    Raises:
        ValueError: it is none.
    """
    local, _, domain = address.rpartition("@")
    labels = domain.split(".")
    fits = len(local) <= 64 and len(domain) <= 190 and all(labels) and not any(x.strip("-") != x for x in labels)
    if not (fits and _ADDRESS.fullmatch(address)):
        raise ValueError("must be an address such as ada@example.com")
    return address


def _plain_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _plain_text(text: str) -> str:
    if _UNPRINTED.search(text):
        raise ValueError("must not hold control characters")
    return text


def _media_type(name: str) -> str:
    if not _MEDIA_TYPE.fullmatch(name) or name.startswith(("multipart/", "message/")):
        raise ValueError("must be a media type of a file, such as application/pdf")
    return name


def _file_name(name: str) -> str:
    if not name.isprintable() or name != name.strip() or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError("must be a file name without a path")
    return name


def _template_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be like order-shipped: small letters, digits, '.', '-' and '_', at most 64")
    return name


Address = Annotated[str, StringConstraints(max_length=254), AfterValidator(check_address)]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_plain_line)]
Body = Annotated[str, StringConstraints(max_length=TEXT_MAX), AfterValidator(_plain_text)]
Source = Annotated[str, StringConstraints(max_length=SOURCE_MAX), AfterValidator(_plain_text)]
TemplateName = Annotated[str, AfterValidator(_template_name)]


class AttachmentIn(BaseModel):
    """A file to send."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_file_name)]
    media_type: Annotated[str, AfterValidator(_media_type)] = "application/octet-stream"
    content: str = Field(description="The file, in base64.")

    def data(self) -> bytes:
        """The file itself.

        Raises:
            ValueError: it is not base64.
        """
        try:
            return base64.b64decode(self.content, validate=True)
        except binascii.Error:
            raise ValueError("must be base64") from None


class EmailIn(BaseModel):
    """A message to send: words of its own, or a template and what goes into it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "to": "ada@example.com",
                    "subject": "Your order is on its way",
                    "text": "It comes on Thursday.",
                    "html": "<p>It comes on <b>Thursday</b>.</p>",
                }
            ]
        },
    )

    to: Address | Annotated[list[Address], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    subject: Subject | None = Field(None, description="Needed without a template; with one, in place of its own.")
    text: Body | None = None
    html: Body | None = None
    template: TemplateName | None = None
    context: dict[str, Any] | None = Field(None, description="What goes into the template.")
    reply_to: Address | None = None
    attachments: Annotated[list[AttachmentIn], Field(max_length=FILES_MAX)] = []
    private: bool = Field(
        False, description="Its content is shown to nobody, and erased when it is sent: for links that open doors."
    )

    @model_validator(mode="after")
    def _whole(self) -> EmailIn:
        if self.template is None:
            if self.subject is None or not (self.text or self.html):
                raise ValueError("give a subject and text or html, or a template")
            if self.context is not None:
                raise ValueError("context goes with a template")
        elif self.text is not None or self.html is not None:
            raise ValueError("give text and html, or a template, not both")
        return self

    def recipients(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([self.to] if isinstance(self.to, str) else self.to))


Status = Literal["pending", "sending", "sent", "failed", "cancelled", "kept"]


class EmailAccepted(BaseModel):
    """A message that is in the outbox."""

    id: str
    job_id: str
    status: Literal["pending"] = "pending"


class EmailView(BaseModel):
    """One message, as in a list."""

    id: str
    status: Status
    to: list[str]
    subject: str
    kind: str = Field(description="`message`, or what a message of NovaPulse itself tells, such as `new_sign_in`.")
    private: bool
    template: str | None
    tenant: str | None
    attachments: int
    attempts: int
    error: str | None = Field(description="The mail server's words.")
    next_attempt_at: str | None
    job_id: str | None
    created_by: str
    created_at: str
    finished_at: str | None


class RecipientView(BaseModel):
    """What became of a message for one address."""

    address: str
    state: Literal["open", "sent", "refused", "later"]
    words: str


class AttemptView(BaseModel):
    """An attempt that failed."""

    number: int
    started_at: str
    error: str
    worker: str


class FileView(BaseModel):
    """A file that goes with a message."""

    number: int
    name: str
    media_type: str
    size: int


class EmailDetail(EmailView):
    """One message with what it says, where that may be shown and is still there."""

    content: Literal["shown", "private", "erased"]
    text: str | None
    html: str | None
    headers: list[tuple[str, str]]
    recipients: list[RecipientView]
    failures: list[AttemptView]
    files: list[FileView]


class TrialIn(BaseModel):
    """Where to send a trial message."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"to": "ada@example.com"}]})

    to: Address


class TrialView(BaseModel):
    """What the mail server said to it."""

    ok: bool
    words: str
    encrypted: bool
    duration_ms: int


class MailServerView(BaseModel):
    """How mail is sent."""

    set: bool = Field(description="Whether there is a server; without one, messages are kept and not sent.")
    host: str | None
    port: int | None
    tls: Literal["at_once", "required", "if_offered", "never"] | None
    user: str | None
    sender: str
    domain_limits: dict[str, str]


class TemplateIn(BaseModel):
    """A template to store. In `html`, what is filled in is escaped."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "order-shipped",
                    "subject": "Order {{ number }} is on its way",
                    "text": "Hello {{ name }},\n\nit comes on {{ day }}.",
                    "html": "<p>Hello {{ name }},</p><p>it comes on <b>{{ day }}</b>.</p>",
                    "example": {"name": "Ada", "number": "1042", "day": "Thursday"},
                }
            ]
        },
    )

    name: TemplateName
    subject: Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_plain_line)]
    text: Source = ""
    html: Source = ""
    example: dict[str, Any] = Field(default_factory=dict[str, Any], description="Values to try it with.")


class TemplatePatch(BaseModel):
    """What to change."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"subject": "Order {{ number }} was sent"}]}
    )

    subject: Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_plain_line)] | None = None
    text: Source | None = None
    html: Source | None = None
    example: dict[str, Any] | None = None


class TemplateView(BaseModel):
    """A stored template."""

    name: str
    subject: str
    text: str
    html: str
    example: dict[str, Any]
    variables: list[str] = Field(description="What has to be given to fill it in.")
    tenant: str | None
    created_at: str
    updated_at: str
    updated_by: str


class PreviewIn(BaseModel):
    """A template to fill in: a stored one, or one that is being written."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"subject": "Hello {{ name }}", "text": "Hello {{ name }}.", "context": {"name": "Ada"}}]
        },
    )

    template: TemplateName | None = None
    subject: Annotated[str, StringConstraints(max_length=1000)] = ""
    text: Source = ""
    html: Source = ""
    context: dict[str, Any] | None = Field(None, description="Left out: the example of the stored template.")


class PreviewView(BaseModel):
    """The message it makes."""

    subject: str
    text: str
    html: str
