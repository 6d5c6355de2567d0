"""Every notice is made, says what its reader needs, and lets no stranger's words do harm."""

from __future__ import annotations

from email.utils import parseaddr
from html.parser import HTMLParser

import pytest
from sqlmodel import select

from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email
from novapulse.mail.service import Message, open_message
from novapulse.security.notices import Notice, tell

LINKED = {Notice.MFA_RESET_ASKED, Notice.PASSWORD_RESET, Notice.INVITATION, Notice.EMAIL_CHANGE}
LINK = "https://hooks.example.com/reset?token=abc_DEF-123&x=1"
FACTS = {
    "at": "2026-11-23T12:00:00.000Z",
    "device": "Firefox on Linux",
    "place": "Vienna",
    "ip": "192.0.2.7",
    "name": "My phone",
    "by": "ada@example.com",
    "reason": "lost phone",
    "left": "3",
}


async def made(rt: Runtime, notice: Notice, facts: dict[str, str]) -> Message:
    async with rt.database.write() as session:
        email_id = await tell(rt, session, "vera@example.com", notice, facts)
    async with rt.database.read() as session:
        row = (await session.execute(select(Email).where(Email.id == email_id))).scalar_one()
    assert row.content is not None
    return open_message(rt, email_id, row.content)


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("notice", list(Notice))
async def test_each_notice_tells_when_where_and_what_to_do_in_both_parts(rt: Runtime, notice: Notice) -> None:
    mail = await made(rt, notice, FACTS | ({"link": LINK} if notice in LINKED else {}))
    html = Links(mail.html)
    for part in (mail.text, html.text):
        for fact in ("23 November 2026, 12:00 UTC", "Firefox on Linux", "Vienna", "192.0.2.7", "My phone"):
            assert fact in part
        assert "If " in part
    target = LINK if notice in LINKED else rt.settings.base_url
    assert html.found[0].startswith(target)
    assert html.found[0] in mail.text.splitlines()
    assert len(html.found) == 1, "nothing is loaded from elsewhere, and one link leads home"
    assert mail.subject in mail.text
    assert parseaddr(mail.to)[1] == "vera@example.com"
    assert all(len(line) <= 78 for line in mail.text.splitlines())


@pytest.mark.parametrize("notice", list(Notice))
async def test_a_notice_needs_no_facts_but_its_link(rt: Runtime, notice: Notice) -> None:
    if notice in LINKED:
        with pytest.raises(ValueError, match="link"):
            await made(rt, notice, {})
    mail = await made(rt, notice, {"link": LINK} if notice in LINKED else {})
    assert "UTC" in mail.text
    assert "None" not in mail.text + mail.html


async def test_what_strangers_choose_is_shown_as_text_and_leads_nowhere(rt: Runtime) -> None:
    evil = "<script>alert(1)</script>\r\nBcc: x@example.com\x00 visit https://evil.example/now \u202e" + "a" * 5000
    mail = await made(rt, Notice.NEW_SIGN_IN, {"device": evil, "name": "{{ 7 * 191 }}"})
    assert "<script" not in mail.html
    assert "1337" not in mail.html
    for part in (mail.text, mail.html):
        assert "evil.example" not in part
        assert "\r" not in part
        assert "\u202e" not in part
        assert "\x00" not in part
    assert not any(line.startswith("Bcc") for line in mail.text.splitlines())
    assert len(mail.text) < 2000
    assert "\n" not in mail.subject
