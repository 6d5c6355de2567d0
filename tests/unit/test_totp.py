"""TOTP against the vectors of RFC 4226 and RFC 6238; the QR code against a reader that is not ours."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pyotp
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from novapulse.security import totp

SEED = base64.b32encode(b"12345678901234567890").decode()
# RFC 4226, appendix D.
HOTP = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
# RFC 6238, appendix B, SHA-1: the last six of its eight digits.
TOTP = [
    (59, 0x1, "287082"),
    (1111111109, 0x23523EC, "081804"),
    (1111111111, 0x23523ED, "050471"),
    (1234567890, 0x273EF07, "005924"),
    (2000000000, 0x3F940AA, "279037"),
    (20000000000, 0x27BC86AA, "353130"),
]
NOW = 1_790_000_000


@pytest.mark.parametrize(("count", "code"), list(enumerate(HOTP)))
def test_the_codes_of_rfc_4226_are_accepted_at_their_step_and_not_outside_the_window(count: int, code: str) -> None:
    at_s = count * 30 + 29.9
    assert totp.matching_step(SEED, code, at_s, window=0) == count
    assert totp.matching_step(SEED, code, at_s + 30) == count
    assert totp.matching_step(SEED, code, at_s + 60) is None


@pytest.mark.parametrize(("at_s", "step", "code"), TOTP)
def test_the_codes_of_rfc_6238_are_accepted_at_their_time(at_s: int, step: int, code: str) -> None:
    assert totp.matching_step(SEED, code, at_s) == step
    assert totp.matching_step(SEED, code, at_s - 30) == step
    assert totp.matching_step(SEED, code, at_s + 60) is None
    assert totp.matching_step(SEED, code, max(at_s - 60, 0)) is (None if at_s > 59 else 1)


def test_a_code_that_two_steps_share_is_of_the_later_one() -> None:
    secret = pyotp.random_base32()
    codes: dict[str, int] = {}
    for step in range(10_000_000):
        code = pyotp.HOTP(secret).at(step)
        if step - codes.get(code, -100) <= 20:
            assert totp.matching_step(secret, code, step * 30, window=20) == max(
                each for each in range(step - 20, step + 21) if each >= 0 and pyotp.HOTP(secret).at(each) == code
            )
            return
        codes[code] = step


@given(st.integers(-12, 12))
def test_the_window_is_one_step_either_side(steps: int) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    code = pyotp.TOTP(secret).at(NOW, counter_offset=steps)
    assert (totp.matching_step(secret, code, NOW) is not None) == (abs(steps) <= 1)
    assert (totp.matching_step(secret, code, NOW, totp.CLOCK_WINDOW) is not None) == (abs(steps) <= 10)


@pytest.mark.parametrize("typed", ["123456", " 123 456\n", "12 34 56", "123\u00a0456"])
def test_a_code_may_be_typed_with_spaces(typed: str) -> None:
    assert totp.clean_code(typed) == "123456"


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "１２３４５６", "-12345", "12.456", "٣٤٥٦٧٨"])
def test_what_is_not_six_plain_digits_is_no_code(typed: str) -> None:
    assert totp.clean_code(typed) is None


def test_a_secret_has_160_random_bits() -> None:
    secrets = {totp.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(base64.b32decode(secret)) for secret in secrets} == {20}


@pytest.mark.parametrize("email", ["ada@example.com", "ada+x&y=1?@example.com", "ünï@example.com", "a b@example.com"])
def test_the_uri_says_what_an_app_needs(email: str) -> None:
    secret = totp.new_secret()
    parsed = pyotp.parse_uri(totp.otpauth_uri(secret, email))
    assert isinstance(parsed, pyotp.totp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (secret, email, "NovaPulse")
    assert (parsed.digits, parsed.interval, parsed.digest().name) == (6, 30, "sha1")


@pytest.mark.parametrize("email", ["a@b.example", f"{'long' * 15}@{'name' * 12}.example.com"])
def test_the_qr_code_reads_as_the_uri(email: str) -> None:
    uri = totp.otpauth_uri(totp.new_secret(), email)
    side, dark = squares(totp.qr_svg(uri))
    scale = 4
    image = bytearray(b"\xff" * (side * scale) ** 2)
    for x, y in dark:
        for row in range(y * scale, (y + 1) * scale):
            start = row * side * scale + x * scale
            image[start : start + scale] = b"\x00" * scale
    view = memoryview(bytes(image)).cast("B", (side * scale, side * scale))
    assert [found.text for found in zxingcpp.read_barcodes(view)] == [uri]


def test_the_qr_code_scales_and_needs_nothing_from_elsewhere() -> None:
    svg = totp.qr_svg("otpauth://totp/x")
    root = ElementTree.fromstring(svg)
    assert {"width", "height"}.isdisjoint(root.attrib)
    assert "viewBox" in root.attrib
    assert "href" not in svg
    assert svg.count("http") == 1, "the namespace and nothing else"
    assert "<?xml" not in svg


def squares(svg: str) -> tuple[int, set[tuple[int, int]]]:
    """The side of a QR code in modules, and which of them are dark."""
    root = ElementTree.fromstring(svg)
    background, path = root
    assert (background.attrib["fill"], path.attrib["fill"]) == ("white", "#000000")
    found = re.findall(r"M(\d+),(\d+)H(\d+)V(\d+)H(\d+)z", path.attrib["d"])
    assert len(found) == path.attrib["d"].count("M")
    return int(root.attrib["viewBox"].split()[2]), {(int(x), int(y)) for x, y, *_ in found}
