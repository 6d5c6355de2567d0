"""Signatures: the published vector, and what the reference library verifies and refuses."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from novapulse.webhooks.signing import Signer, key_of, new_secret

# Standard Webhooks, libraries/python/tests/test_webhooks.py
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()

secrets = st.binary(min_size=24, max_size=64).map(lambda key: "whsec_" + base64.b64encode(key).decode())


def headers(secrets: list[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    signature = Signer(secrets).sign(message_id, timestamp, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def verify(secret: str, body: bytes, sent: dict[str, str]) -> None:
    Webhook(secret).verify(body, sent, json_parse=False)


def test_the_published_vector() -> None:
    signature = Signer([SECRET]).sign(MESSAGE_ID, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_prefix_of_a_secret_may_be_left_out() -> None:
    bare = SECRET.removeprefix("whsec_")
    assert Signer([bare]).sign("msg_1", 1, b"x") == Signer([SECRET]).sign("msg_1", 1, b"x")


@given(secret=secrets, text=st.text())
def test_the_reference_library_verifies_any_text(secret: str, text: str) -> None:
    body = text.encode()
    verify(secret, body, headers([secret], MESSAGE_ID, int(time.time()), body))


def test_while_secrets_overlap_each_of_them_verifies() -> None:
    sent = headers([SECRET, OTHER_SECRET], MESSAGE_ID, int(time.time()), b"{}")
    assert len(sent["webhook-signature"].split(" ")) == 2
    verify(SECRET, b"{}", sent)
    verify(OTHER_SECRET, b"{}", sent)


def test_a_secret_that_did_not_sign_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(OTHER_SECRET, b"{}", headers([SECRET], MESSAGE_ID, int(time.time()), b"{}"))


@given(body=st.binary(min_size=1).filter(lambda body: body.isascii()), place=st.integers(0), flip=st.integers(1, 127))
def test_a_body_changed_by_one_character_is_refused(body: bytes, place: int, flip: int) -> None:
    sent = headers([SECRET], MESSAGE_ID, int(time.time()), body)
    changed = bytearray(body)
    changed[place % len(body)] ^= flip
    with pytest.raises(WebhookVerificationError):
        verify(SECRET, bytes(changed), sent)


def test_another_id_or_timestamp_is_refused() -> None:
    now = int(time.time())
    sent = headers([SECRET], MESSAGE_ID, now, b"{}")
    for changed in ({"webhook-id": "msg_other"}, {"webhook-timestamp": str(now - 1)}):
        with pytest.raises(WebhookVerificationError):
            verify(SECRET, b"{}", sent | changed)


def test_each_new_secret_is_another_32_bytes() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(key_of(secret)) for secret in made} == {32}


@pytest.mark.parametrize("size", [24, 64])
def test_the_shortest_and_longest_secret_that_the_specification_allows_are_taken(size: int) -> None:
    key = bytes(size)
    assert key_of("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize("size", [0, 1, 23, 65])
def test_a_shorter_or_longer_secret_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes"):
        key_of("whsec_" + base64.b64encode(bytes(size)).decode())


@pytest.mark.parametrize(
    "secret", ["whsec_!!!!", "whsec_abc", "whsec_" + "ä" * 32, "WHSEC_" + "A" * 32, "whsec_ " + "A" * 32]
)
def test_what_is_not_base64_is_refused(secret: str) -> None:
    with pytest.raises(ValueError):
        key_of(secret)
