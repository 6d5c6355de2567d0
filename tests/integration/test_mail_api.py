"""Mail by the API: sent, looked at, sent again, made from templates; what is wrong is refused at its place."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from novapulse.core.runtime import Runtime
from novapulse.launch import mail_cli
from novapulse.security.notices import Notice, tell
from tests.calls import calling, problem
from tests.integration.test_mail import LINK, TO, TOKEN, change, send, set_server
from tests.postoffice import OK, PostOffice, opened

SCOPES = ("emails:read", "emails:write")
PLAIN = {"to": TO, "subject": "Order 1042", "text": "It comes on Thursday."}
RICH = PLAIN | {"html": "<p>It <script>alert(1)</script>comes.</p>"}
TEMPLATE = {
    "name": "order-shipped",
    "subject": "Order {{ number }}",
    "text": "Hello {{ name }},\n{% for item in items %}- {{ item.what | upper }}\n{% endfor %}",
    "html": "<p>Hello {{ name }}</p>",
    "example": {"name": "Ada", "number": 1, "items": []},
}


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with opened() as made:
        yield made


async def found(client: httpx.AsyncClient, email_id: str) -> dict[str, Any]:
    answer = await client.get(f"/emails/{email_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_message_is_sent_looked_at_and_sent_again(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    office.recipient_answers.extend([OK, "550 5.1.1 No such user"])
    file = {"name": "bill.txt", "media_type": "text/plain", "content": base64.b64encode(b"42 EUR").decode()}
    body = RICH | {"to": [TO, "bob@example.com"], "attachments": [file], "reply_to": "shop@example.com"}
    async with calling(any_rt, *SCOPES) as client:
        first = await client.post("/emails", json=body, headers={"Idempotency-Key": "once"})
        assert first.status_code == 202, first.text
        again = await client.post("/emails", json=body, headers={"Idempotency-Key": "once"})
        assert again.json() == first.json()
        email_id = first.json()["id"]
        waiting = await found(client, email_id)
        assert (waiting["status"], waiting["content"], waiting["next_attempt_at"] is not None) == (
            "pending",
            "shown",
            True,
        )
        problem(await client.post(f"/emails/{email_id}/retry"), 409)
        await send(any_rt)

        seen = await found(client, email_id)
        assert (seen["status"], seen["error"], seen["text"]) == ("failed", "550 5.1.1 No such user", PLAIN["text"])
        assert [(each["address"], each["state"]) for each in seen["recipients"]] == [
            (TO, "sent"),
            ("bob@example.com", "refused"),
        ]
        assert ["Reply-To", "shop@example.com"] in seen["headers"]
        assert seen["failures"][0]["error"] == "550 5.1.1 No such user"
        assert seen["files"] == [{"number": 1, "name": "bill.txt", "media_type": "text/plain", "size": 6}]

        shown = await client.get(f"/emails/{email_id}/html")
        assert (shown.text, shown.headers["content-type"]) == (RICH["html"], "text/html; charset=utf-8")
        policy = shown.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert policy.endswith("sandbox")
        assert "script" not in policy
        taken = await client.get(f"/emails/{email_id}/attachments/1")
        assert (taken.content, taken.headers["content-type"]) == (b"42 EUR", "application/octet-stream")
        assert taken.headers["content-disposition"].startswith("attachment;")

        assert (await client.post(f"/emails/{email_id}/retry")).status_code == 202
        await send(any_rt)
        assert [arrived.recipients for arrived in office.arrived] == [[TO], ["bob@example.com"]]
        assert (await found(client, email_id))["status"] == "sent"
        problem(await client.post(f"/emails/{email_id}/retry"), 409)

        for query, expected in (
            ({"status": "sent"}, 1),
            ({"status": "failed"}, 0),
            ({"status": "sending"}, 0),
            ({"q": "ORDER 10"}, 1),
            ({"q": "bob@"}, 1),
            ({"to": "%"}, 0),
            ({"kind": "new_sign_in"}, 0),
            ({"until": "2020-01-01T00:00:00Z"}, 0),
        ):
            rows = (await client.get("/emails", params=query)).json()["data"]
            assert len(rows) == expected, query
    audited = await any_rt.database.run_write(
        lambda c: c.exec_driver_sql("SELECT action FROM audit WHERE noun = 'mail'").scalars().all()
    )
    assert list(audited) == ["mail.retried"]


async def test_what_may_open_a_door_is_shown_to_nobody(any_rt: Runtime, office: PostOffice) -> None:
    async with any_rt.database.write() as session:
        notice = await tell(any_rt, session, TO, Notice.PASSWORD_RESET, {"link": LINK})
    async with calling(any_rt, *SCOPES) as client:
        asked = await client.post("/emails", json=RICH | {"text": f"Open {LINK}", "private": True})
        own = asked.json()["id"]
        await send(any_rt)
        for email_id in (notice, own):
            detail = await found(client, email_id)
            assert (detail["status"], detail["content"], detail["text"], detail["html"]) == (
                "kept",
                "private",
                None,
                None,
            )
            problem(await client.get(f"/emails/{email_id}/html"), 404)
            problem(await client.post(f"/emails/{email_id}/retry"), 409)
            assert TOKEN not in str(detail)
        assert TOKEN not in (await client.get("/emails")).text
    # Whoever runs NovaPulse has the key and the database anyway.
    _, message = await mail_cli.read(any_rt, notice)
    assert message is not None and LINK in message.text
    await change(any_rt, notice, content=None)
    assert (await mail_cli.read(any_rt, notice))[1] is None


async def test_a_tenant_sees_its_own_mail_only(any_rt: Runtime) -> None:
    async with calling(any_rt, *SCOPES, tenant="a") as one, calling(any_rt, *SCOPES, tenant="b") as other:
        email_id = (await one.post("/emails", json=PLAIN)).json()["id"]
        assert (await found(one, email_id))["tenant"] == "a"
        for path in ("", "/html", "/attachments/1"):
            problem(await other.get(f"/emails/{email_id}{path}"), 404)
        problem(await other.post(f"/emails/{email_id}/retry"), 404)
        assert (await other.get("/emails")).json()["data"] == []
        assert (await one.post("/email-templates", json=TEMPLATE)).status_code == 201
        problem(await other.get("/email-templates/order-shipped"), 404)
        assert (await other.post("/email-templates", json=TEMPLATE)).status_code == 201


@pytest.mark.parametrize(
    ("change_", "pointer"),
    [
        ({"to": "vera"}, "/to"),
        ({"to": []}, "/to"),
        ({"to": ["vera@example.com", "vära@example.com"]}, "/to"),
        ({"to": "a@-x.example"}, "/to"),
        ({"to": [f"a{n}@example.com" for n in range(51)]}, "/to"),
        ({"subject": "x\r\nBcc: y@example.com"}, "/subject"),
        ({"subject": None}, ""),
        ({"text": None}, ""),
        ({"text": "\x07"}, "/text"),
        ({"context": {}}, ""),
        ({"template": "none", "text": None}, "/template"),
        ({"reply_to": "x"}, "/reply_to"),
        ({"attachments": [{"name": "../x", "content": ""}]}, "/attachments/0/name"),
        ({"attachments": [{"name": "x", "content": "?"}]}, "/attachments/0/content"),
        ({"attachments": [{"name": "x", "content": "", "media_type": "message/rfc822"}]}, "/attachments/0/media_type"),
        ({"bcc": "x@example.com"}, "/bcc"),
    ],
)
async def test_a_message_that_cannot_be_meant_is_refused_at_its_place(
    rt: Runtime, change_: dict[str, Any], pointer: str
) -> None:
    async with calling(rt, *SCOPES) as client:
        body = problem(await client.post("/emails", json=PLAIN | change_), 422)
        assert any(error["pointer"].startswith(pointer) for error in body["errors"]), body["errors"]
        assert (await client.get("/emails")).json()["data"] == []


async def test_files_may_be_larger_than_other_bodies_and_are_limited(rt: Runtime) -> None:
    file = {"name": "x.bin", "content": base64.b64encode(bytes(2 * 1024**2)).decode()}
    async with calling(rt, *SCOPES) as client:
        assert (await client.post("/emails", json=PLAIN | {"attachments": [file]})).status_code == 202
        problem(await client.post("/emails", json=PLAIN | {"attachments": [file] * 5}), 413)


async def test_a_template_is_made_tried_used_changed_and_deleted(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    async with calling(any_rt, *SCOPES) as client:
        made = await client.post("/email-templates", json=TEMPLATE)
        assert made.status_code == 201, made.text
        assert made.json()["variables"] == ["items", "name", "number"]
        problem(await client.post("/email-templates", json=TEMPLATE), 409)
        tried = await client.post("/email-templates/preview", json={"template": "order-shipped"})
        assert tried.json() == {"subject": "Order 1", "text": "Hello Ada,\n", "html": "<p>Hello Ada</p>"}

        context = {"name": "<b>&", "number": "1042\nBcc: x", "items": [{"what": "lamp"}]}
        body = {"to": TO, "template": "order-shipped", "context": context}
        sent = await client.post("/emails", json=body)
        assert sent.status_code == 202, sent.text
        missing = problem(await client.post("/emails", json=body | {"context": {"name": "x"}}), 422)
        assert missing["errors"] == [{"pointer": "/context", "detail": "subject, line 1: 'number' is undefined"}]
        await send(any_rt)
        (arrived,) = office.arrived
        assert arrived.mail["Subject"] == "Order 1042 Bcc: x"
        assert arrived.mail["Bcc"] is None
        assert arrived.part("plain").split() == ["Hello", "<b>&,", "-", "LAMP"]
        assert "Hello &lt;b&gt;&amp;" in arrived.part("html")
        assert (await found(client, sent.json()["id"]))["template"] == "order-shipped"

        changed = await client.patch("/email-templates/order-shipped", json={"subject": "Sent: {{ number }}"})
        assert (changed.status_code, changed.json()["subject"]) == (200, "Sent: {{ number }}")
        bad = problem(await client.patch("/email-templates/order-shipped", json={"html": "a\n{% if %}"}), 422)
        assert bad["errors"][0]["pointer"] == "/html"
        assert "line 2" in bad["errors"][0]["detail"]
        assert (await client.get("/email-templates")).json()["data"][0]["html"] == TEMPLATE["html"]
        assert (await client.delete("/email-templates/order-shipped")).status_code == 204
        problem(await client.get("/email-templates/order-shipped"), 404)


async def test_the_server_is_described_without_its_password_and_tried(any_rt: Runtime, office: PostOffice) -> None:
    async with calling(any_rt, *SCOPES) as client:
        assert (await client.get("/email-server")).json()["set"] is False
        problem(await client.post("/emails/test", json={"to": TO}), 409)
        set_server(any_rt, office.url("nova:sesame"))
    async with calling(any_rt, *SCOPES) as client:
        told = await client.get("/email-server")
        assert (told.json()["port"], told.json()["user"], "sesame" in told.text) == (office.port, "nova", False)
        set_server(any_rt, office.url())
        tried = (await client.post("/emails/test", json={"to": TO})).json()
        assert (tried["ok"], tried["encrypted"]) == (True, False)
        office.recipient_answers.append("550 5.1.1 No such user")
        refused = (await client.post("/emails/test", json={"to": TO})).json()
        assert (refused["ok"], refused["words"]) == (False, "550 5.1.1 No such user")
    assert [arrived.recipients for arrived in office.arrived] == [[TO]]
