"""Headers of an operator's own: what may be sent along, and what would speak for somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from novapulse.webhooks.schemas import WebhookCreate, is_credential

URL = "https://example.com/hook"


def with_headers(headers: dict[str, str]) -> dict[str, str]:
    return WebhookCreate(url=URL, headers=headers).headers


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "x_tenant", "a", "!#$%&'*+.^`|~", "X" * 64])
def test_names_of_rfc_9110_are_taken(name: str) -> None:
    assert with_headers({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:", "a\r\nb", "a\0", "ä", "a\n", "(a)", "X" * 65, "a/b", "a\ud800", "{a}"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        with_headers({name: "value"})


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "HOST",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Anything",
        "User-Agent",
        "traceparent",
        "webhook-id",
        "Webhook-Signature",
        "Metadata",
        "Metadata-Flavor",
        "X-Google-Metadata-Request",
        "X-aws-ec2-metadata-token",
    ],
)
def test_headers_that_we_set_or_that_open_metadata_services_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is set by NovaPulse or may not be sent"):
        with_headers({name: "value"})


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.just("\t"), max_size=1024))
def test_any_printable_ascii_is_a_value(value: str) -> None:
    assert with_headers({"X-A": value}) == {"X-A": value}


@given(
    st.text(max_size=20),
    st.text(
        st.characters(max_codepoint=0x1F, exclude_characters="\t") | st.characters(min_codepoint=0x7F),
        min_size=1,
        max_size=5,
    ),
    st.text(max_size=20),
)
def test_a_control_character_or_anything_beyond_ascii_is_refused(before: str, bad: str, after: str) -> None:
    with pytest.raises(ValidationError):
        with_headers({"X-A": before + bad + after})


def test_a_value_is_at_most_1024_characters_and_there_are_at_most_20() -> None:
    with_headers({f"X-{number}": "x" * 1024 for number in range(20)})
    with pytest.raises(ValidationError, match="1024"):
        with_headers({"X-A": "x" * 1025})
    with pytest.raises(ValidationError, match="at most 20 headers"):
        with_headers({f"X-{number}": "x" for number in range(21)})


def test_a_refusal_of_a_value_does_not_repeat_it() -> None:
    """It may be a credential with a character too many."""
    with pytest.raises(ValidationError) as raised:
        with_headers({"Authorization": "hunter2\n"})
    assert "hunter2" not in raised.value.errors()[0]["msg"]


def test_a_name_given_twice_is_refused_however_it_is_written() -> None:
    with pytest.raises(ValidationError, match="twice"):
        with_headers({"X-Tenant": "a", "x-tenant": "b"})


@pytest.mark.parametrize(
    "name", ["Authorization", "COOKIE", "X-Auth-Token", "X-Api-Key", "Client-Secret", "X-Password"]
)
def test_what_probably_holds_a_credential_is_known_by_its_name(name: str) -> None:
    assert is_credential(name)


@pytest.mark.parametrize("name", ["Accept", "X-Tenant", "X-Environment"])
def test_other_names_are_shown(name: str) -> None:
    assert not is_credential(name)
