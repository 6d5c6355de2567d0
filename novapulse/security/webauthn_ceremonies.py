"""The ceremonies of WebAuthn (Level 3): making a passkey, and showing one as a second factor or instead of a password.

The challenge of a ceremony is kept in the database, is bound to what it was made for, and works once. The relying
party is the host in the browser's address bar, which has to be a name: browsers make no credential for an IP address.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import BaseModel
from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, InvalidError, UnauthorizedError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit, challenges, factors, notices
from novapulse.security.models import Passkey, User
from novapulse.security.notices import Notice
from novapulse.security.passkeys import PasskeyView, check_name, view

# Kinds of challenges: showing a passkey instead of a password, after one, and to prove again who one is.
ALONE, SECOND, PROOF = "passkey", "mfa", "passkey_proof"
_NEW = "passkey_new"
_PER_USER_MAX = 20
_CHALLENGE_BYTES = 32
_TRANSPORTS = {"usb", "nfc", "ble", "smart-card", "hybrid", "internal"}
_PASSKEY = table_of(Passkey)
_WRONG = "This passkey or security key was not accepted; try again, or use another way to sign in."


class Ceremony(BaseModel):
    """What the browser needs for `navigator.credentials`, and the challenge to send back with its answer."""

    challenge: str
    options: dict[str, Any]


class NewPasskey(PasskeyView):
    """A passkey just added."""

    recovery_codes: list[str]  # shown this once; empty: those from before still work


@dataclass(frozen=True, slots=True)
class Proven:
    """A credential that was shown, and whose it is."""

    user: User
    passkey_id: str
    name: str
    second: bool  # it was asked for after a password; alone, it has verified its user and stands for both factors


def relying_party(origin: str) -> str:
    """The host that credentials of pages of this origin are bound to.

    Raises:
        ConflictError: it is an IP address.
    """
    host = urlsplit(origin).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return host
    raise ConflictError(
        f"Browsers make no passkeys for the address {host}: open NovaPulse by a name, such as http://localhost:8000, "
        "or set NOVAPULSE_PUBLIC_URL."
    )


async def begin_registration(rt: Runtime, actor: Actor, origin: str) -> Ceremony:
    """The options for making a credential. Needs a user who has proven who they are lately.

    Raises:
        ConflictError: they have too many, or the page's address is no name.
    """
    actor.require_sudo()
    rp_id = relying_party(origin)
    async with rt.database.read() as session:
        known = (
            await session.execute(select(_PASSKEY.c.credential_id).where(_PASSKEY.c.user_id == actor.id))
        ).scalars()
        exclude = [PublicKeyCredentialDescriptor(id=base64url_to_bytes(each)) for each in known]
    if len(exclude) >= _PER_USER_MAX:
        raise ConflictError(f"Nobody has more than {_PER_USER_MAX} passkeys; remove one first.")
    nonce = secrets.token_bytes(_CHALLENGE_BYTES)
    options = generate_registration_options(
        rp_id=rp_id,
        rp_name="NovaPulse",
        user_name=actor.name,
        user_id=actor.id.encode(),
        challenge=nonce,
        exclude_credentials=exclude,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    data = {"nonce": bytes_to_base64url(nonce), "origin": origin}
    token = await challenges.begin(rt, _NEW, actor.id, data)
    return Ceremony(challenge=token, options=json.loads(options_to_json(options)))


async def finish_registration(
    rt: Runtime, actor: Actor, token: str, credential: dict[str, Any], name: str
) -> NewPasskey:
    """Keep the credential that the browser made. With somebody's first factor come recovery codes; they are not kept.

    Raises:
        UnauthorizedError: the challenge has ended, or is somebody else's.
        InvalidError: the credential is not an answer to it, or the name cannot be used.
        ConflictError: it is known already.
    """
    actor.require_sudo()
    wanted = check_name(name)
    challenge = await challenges.find(rt, token, _NEW)
    if challenge.user_id != actor.id or not await challenges.end(rt, token):
        raise challenges.ended()
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge.data["nonce"]),
            expected_rp_id=relying_party(challenge.data["origin"]),
            expected_origin=challenge.data["origin"],
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise InvalidError.at("/credential", f"was not accepted: {str(error)[:200]}") from None
    credential_id = bytes_to_base64url(verified.credential_id)
    row = Passkey(
        id=new_id("pk"),
        user_id=actor.id,
        name=wanted,
        credential_id=credential_id,
        public_key=bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
        transports=_transports(credential),
        backed_up=verified.credential_backed_up,
        created_at=now_ms(),
        proven_at=now_ms(),
    )
    codes, hashes = await factors.fresh_codes()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        known = await session.execute(select(_PASSKEY.c.id).where(_PASSKEY.c.credential_id == credential_id))
        if known.one_or_none() is not None:
            raise ConflictError("This passkey has been added already.")
        session.add(row)
        await session.flush()
        if await factors.has_kept_codes(session, actor.id):
            codes = []
        else:
            await factors.replace_codes(session, actor.id, hashes)
        await notices.tell(rt, session, user.email, Notice.PASSKEY_ADDED, {"name": wanted, "ip": actor.ip})
        await audit.append(rt, session, actor, "passkey.added", target=("passkey", row.id, wanted))
    return NewPasskey(**view(row).model_dump(), recovery_codes=codes)


async def begin_sign_in(rt: Runtime, origin: str, token: str | None) -> Ceremony:
    """The options for showing a credential.

    With the `token` of a sign-in that waits for its second factor: one of that user's. Without: any, and the
    authenticator says whose it is; then it has to verify its user, as it stands for both factors.

    Raises:
        UnauthorizedError: that sign-in has ended.
        ConflictError: the page's address is no name.
    """
    rp_id, nonce = relying_party(origin), secrets.token_bytes(_CHALLENGE_BYTES)
    data = {"nonce": bytes_to_base64url(nonce), "origin": origin}
    allowed: list[PublicKeyCredentialDescriptor] | None = None
    verification = UserVerificationRequirement.REQUIRED
    if token is None:
        token = await challenges.begin(rt, ALONE, None, data)
    else:
        waiting = await challenges.find(rt, token, SECOND)
        await challenges.put(rt, token, waiting.data | data)
        allowed = await _allowed(rt, str(waiting.user_id))
        verification = UserVerificationRequirement.PREFERRED
    options = generate_authentication_options(
        rp_id=rp_id, challenge=nonce, allow_credentials=allowed, user_verification=verification
    )
    return Ceremony(challenge=token, options=json.loads(options_to_json(options)))


async def begin_proof(rt: Runtime, actor: Actor, origin: str) -> Ceremony:
    """The options for a signed-in user who proves again that it is them; finish with `prove`."""
    rp_id, nonce = relying_party(origin), secrets.token_bytes(_CHALLENGE_BYTES)
    data = {"nonce": bytes_to_base64url(nonce), "origin": origin}
    token = await challenges.begin(rt, PROOF, actor.id, data)
    options = generate_authentication_options(
        rp_id=rp_id,
        challenge=nonce,
        allow_credentials=await _allowed(rt, actor.id),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return Ceremony(challenge=token, options=json.loads(options_to_json(options)))


async def prove(rt: Runtime, token: str, credential: dict[str, Any], *kinds: str) -> Proven:
    """Whose credential answers this challenge of one of these kinds, which is used up.

    Raises:
        UnauthorizedError: the challenge has ended, or the answer is not one to it.
    """
    challenge = await challenges.find(rt, token, *kinds)
    if "nonce" not in challenge.data or not await challenges.end(rt, token):
        raise challenges.ended()
    async with rt.database.read() as session:
        row = await _find(session, credential)
        user = None if row is None else await session.get(User, row.user_id)
    if row is None or user is None or not user.active or challenge.user_id not in (None, user.id):
        raise UnauthorizedError(_WRONG)
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge.data["nonce"]),
            expected_rp_id=relying_party(challenge.data["origin"]),
            expected_origin=challenge.data["origin"],
            credential_public_key=base64url_to_bytes(row.public_key),
            credential_current_sign_count=row.sign_count,
            require_user_verification=challenge.user_id is None,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise UnauthorizedError(_WRONG) from None
    p = _PASSKEY.c
    async with rt.database.write() as session:
        # Compared again: of two answers with one count, which a clone would give, one counts.
        done = await session.execute(
            update(_PASSKEY)
            .where(p.id == row.id, p.sign_count == row.sign_count)
            .values(sign_count=verified.new_sign_count, backed_up=verified.credential_backed_up, proven_at=now_ms())
        )
    if cast("CursorResult[tuple[()]]", done).rowcount != 1:
        raise UnauthorizedError(_WRONG)
    return Proven(user, row.id, row.name, challenge.kind == SECOND)


async def _allowed(rt: Runtime, user_id: str) -> list[PublicKeyCredentialDescriptor]:
    async with rt.database.read() as session:
        known = await session.execute(select(_PASSKEY.c.credential_id).where(_PASSKEY.c.user_id == user_id))
        return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(each)) for each in known.scalars()]


async def _find(session: AsyncSession, credential: dict[str, Any]) -> Passkey | None:
    credential_id = credential.get("id")
    if not isinstance(credential_id, str):
        return None
    found = await session.execute(select(Passkey).where(_PASSKEY.c.credential_id == credential_id.rstrip("=")))
    return found.scalar_one_or_none()


def _transports(credential: dict[str, Any]) -> list[str]:
    response = cast("dict[str, Any]", credential.get("response") or {})
    found = cast("list[object]", response.get("transports") or [])
    return sorted(_TRANSPORTS.intersection(map(str, found)))
