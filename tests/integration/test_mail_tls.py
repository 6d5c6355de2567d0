"""TLS and sign-in to the mail server: the certificate is verified, a password is not sent in the clear."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from novapulse.core.runtime import Runtime
from novapulse.launch.doctor import Finding, _mail
from novapulse.mail.models import EmailStatus
from tests.instance import free_port
from tests.integration.test_mail import queued, row_of, send, set_server
from tests.postoffice import PostOffice, opened

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd does not count TLS from the start as TLS

USERS = {"nova": "p@ss/wörd#1"}
LOGIN = "nova:p%40ss%2Fw%C3%B6rd%231"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docs/configuration.md` says to name an authority of one's own."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(params=["smtps", "starttls"])
def secured(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[tuple[PostOffice, str]]:
    """An office behind TLS that wants a sign-in, and the scheme of its URL."""
    context = certificate(authority)
    if request.param == "smtps":
        made, scheme = PostOffice(users=USERS, implicit_tls=context), "smtps"
    else:
        made, scheme = PostOffice(users=USERS, starttls=context), "smtp"
    with opened(made) as office:
        yield office, scheme


async def test_mail_goes_encrypted_and_signed_in(rt: Runtime, secured: tuple[PostOffice, str]) -> None:
    office, scheme = secured
    set_server(rt, office.url(LOGIN, scheme))
    (email_id,) = await queued(rt)
    await send(rt)
    row = await row_of(rt, email_id)
    assert (row.status, row.error) == (EmailStatus.SENT, None)
    (arrived,) = office.arrived
    assert arrived.encrypted
    assert arrived.user == "nova"


async def test_a_wrong_password_is_no_fault_of_the_message(rt: Runtime, secured: tuple[PostOffice, str]) -> None:
    office, scheme = secured
    set_server(rt, office.url("nova:wrong-password", scheme))
    ids = await queued(rt, 2)
    await send(rt)
    assert office.connections == 1, "the server is not asked once more for each message"
    for id_ in ids:
        row = await row_of(rt, id_)
        assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
        assert row.error.startswith("535")
        assert "wrong-password" not in row.error


async def test_a_server_that_wants_a_sign_in_and_gets_none_is_tried_again(rt: Runtime, authority: trustme.CA) -> None:
    with opened(PostOffice(users=USERS, starttls=certificate(authority))) as office:
        set_server(rt, office.url())
        (email_id,) = await queued(rt)
        await send(rt)
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
    assert row.error.startswith("530")


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
@pytest.mark.parametrize("fault", ["stranger", "name"])
async def test_nothing_is_said_to_a_server_whose_certificate_is_not_right(
    rt: Runtime, authority: trustme.CA, scheme: str, fault: str
) -> None:
    context = certificate(trustme.CA()) if fault == "stranger" else certificate(authority, "other.example")
    tls = {"implicit_tls": context} if scheme == "smtps" else {"starttls": context}
    with opened(PostOffice(users=USERS, **tls)) as office:
        set_server(rt, office.url(LOGIN, scheme))
        (email_id,) = await queued(rt)
        await send(rt)
        assert office.arrived == []
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
    assert "certificate" in row.error.lower()


async def test_where_starttls_is_required_nothing_is_said_without_it(rt: Runtime) -> None:
    with opened() as office:
        set_server(rt, office.url(query="?starttls=required"))
        (email_id,) = await queued(rt)
        await send(rt)
        assert office.arrived == []
        assert "STARTTLS" in (await row_of(rt, email_id)).error


async def test_starttls_is_used_where_it_is_offered_and_not_where_it_must_not_be(
    rt: Runtime, authority: trustme.CA
) -> None:
    with opened(PostOffice(starttls=certificate(authority))) as office:
        set_server(rt, office.url())
        await queued(rt)
        await send(rt)
        assert [arrived.encrypted for arrived in office.arrived] == [True]
        set_server(rt, office.url(query="?starttls=never"))
        (email_id,) = await queued(rt)
        await send(rt)
        assert (await row_of(rt, email_id)).error.startswith("530"), "this office takes nothing in the clear"


async def examined(rt: Runtime, url: str) -> Finding:
    set_server(rt, url)
    return await _mail(rt.settings)


async def test_the_doctor_signs_in_and_sends_nothing(rt: Runtime, secured: tuple[PostOffice, str]) -> None:
    office, scheme = secured
    finding = await examined(rt, office.url(LOGIN, scheme))
    assert finding.sound
    assert "encrypted, signed in as nova" in finding.detail
    assert office.arrived == []
    finding = await examined(rt, office.url("nova:wrong-password", scheme))
    assert not finding.sound
    assert "535" in finding.detail
    assert "wrong-password" not in finding.detail


async def test_the_doctor_says_when_nobody_is_there_or_none_is_set(rt: Runtime) -> None:
    port = free_port()
    finding = await examined(rt, f"smtp://localhost:{port}")
    assert not finding.sound
    assert f"localhost:{port}" in finding.detail
    assert "NOVAPULSE_SMTP_URL" in finding.remedy
    finding = await examined(rt, "")
    assert finding.sound
    assert "not sent" in finding.detail
    with opened() as office:
        assert "not encrypted" in (await examined(rt, office.url())).detail
