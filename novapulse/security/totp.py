"""Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, 6 digits and 30 seconds, which every app knows. Pure."""
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# `qrcode` is untyped.

from __future__ import annotations

import hmac
import re
from xml.etree import ElementTree

import qrcode
from pyotp import random_base32
from pyotp.totp import TOTP
from qrcode.image.svg import SvgPathFillImage

STEP_S = 30
WINDOW = 1  # steps either side: a code typed as it changes still counts (RFC 6238, 5.2)
CLOCK_WINDOW = 10  # steps either side in which a code tells of a wrong clock
ISSUER = "NovaPulse"
_SECRET_CHARS = 32  # of base32: 160 bits (RFC 4226, 4, R6)
_SHAPE = re.compile(r"[0-9]{6}")
_QUIET_ZONE = 4  # modules of white around it (ISO/IEC 18004, 9.1)


def new_secret() -> str:
    """A random seed, as the base32 that people type."""
    return random_base32(_SECRET_CHARS)


def clean_code(typed: str) -> str | None:
    """The six digits somebody typed, apps group them by spaces; None: it is not such a code."""
    plain = "".join(typed.split())
    return plain if _SHAPE.fullmatch(plain) else None


def matching_step(secret: str, code: str, at_s: float, window: int = WINDOW) -> int | None:
    """The last time step within `window` of this moment whose code this is; None: it is of none of them.

    The last, where pyotp's `verify_and_get_timecode` finds the first: a code that two steps of the window happen to
    share would count again when the first of them is used.
    """
    totp = TOTP(secret, interval=STEP_S)
    now = totp.timecode(at_s)
    for step in range(now + window, max(now - window, 0) - 1, -1):
        if hmac.compare_digest(code, totp.generate_otp(step)):
            return step
    return None


def otpauth_uri(secret: str, email: str) -> str:
    """What the QR code says (Google's Key URI format)."""
    return TOTP(secret, interval=STEP_S).provisioning_uri(name=email, issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """A QR code as an `<svg>` for a page: dark on white in any theme, of any size."""
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=_QUIET_ZONE)
    code.add_data(text)
    code.make(fit=True)
    image = ElementTree.fromstring(code.make_image(image_factory=SvgPathFillImage).to_string())  # noqa: S314 - our own
    del image.attrib["width"], image.attrib["height"]
    image.attrib |= {"role": "img", "aria-label": "QR code for your authenticator app", "shape-rendering": "crispEdges"}
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    return ElementTree.tostring(image, encoding="unicode")
