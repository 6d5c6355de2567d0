"""A message as it goes over the wire (RFC 5322)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from novapulse.mail.service import Attachment, Message


def compose(
    message: Message, attachments: Sequence[Attachment], *, email_id: str, created_at: int, sender: str
) -> EmailMessage:
    """The mail of an outbox row. The same row always makes the same Message-ID: a repeat is recognised by it.

    Raises:
        ValueError: an address or the subject cannot stand in a header.
    """
    name, address = parseaddr(sender)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = [_address(each) for each in message.recipients]
    if message.reply_to:
        mail["Reply-To"] = _address(message.reply_to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(created_at // 1000, UTC))
    mail["Message-ID"] = f"<{email_id}@{address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: no holiday notice shall answer it
    # Quoted-printable is 7-bit with short lines: nothing on the way has a reason to recode it.
    if message.text or not message.html:
        mail.set_content(message.text, cte="quoted-printable")
    if message.html and message.text:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    elif message.html:
        mail.set_content(message.html, subtype="html", cte="quoted-printable")
    for each in attachments:
        main, _, sub = each.media_type.partition("/")
        mail.add_attachment(each.data, maintype=main, subtype=sub, filename=each.name)
    return mail


def _address(address: str) -> Address:
    try:
        return Address(addr_spec=address)
    except Exception as error:  # the parser raises what it stumbles over
        raise ValueError("the address cannot be read") from error


def masked(address: str) -> str:
    """An address for the log: enough to recognise, not to write to."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def masked_in(words: str, addresses: Iterable[str]) -> str:
    """Words of a server, without the addresses in them."""
    for address in addresses:
        words = words.replace(address, masked(address))
    return words
