"""`/security/passkeys`, and `/auth/passkey`: signing in by one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from novapulse.core.errors import ForbiddenError
from novapulse.core.http import ApiRoute
from novapulse.security import passkeys, sign_in, users
from novapulse.security import webauthn_ceremonies as ceremonies
from novapulse.security.api.common import Id, Input, Rt, Short, caller_of, example, hand_over, require_own_page
from novapulse.security.api.sign_in import SignedIn
from novapulse.security.authenticate import ip_of
from novapulse.security.origins import is_same_origin_call
from novapulse.security.passkeys import PasskeyView
from novapulse.security.policy import RateClass, anybody, own_session
from novapulse.security.sessions import Live
from novapulse.security.webauthn_ceremonies import Ceremony, NewPasskey

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])
_CREDENTIAL: dict[str, Any] = {"id": "…", "rawId": "…", "type": "public-key", "response": {}}


class NewPasskeyIn(Input):
    """What `navigator.credentials.create` answered."""

    model_config = example(challenge="from /options", credential=_CREDENTIAL, name="Phone")

    challenge: Short
    credential: dict[str, Any] = Field(description="A RegistrationResponseJSON (WebAuthn Level 3, 5.1).")
    name: Short


class NameIn(Input):
    """Another name."""

    model_config = example(name="Blue key")

    name: Short


class PasskeyChallengeIn(Input):
    """A sign-in that waits for its second factor; left out: no password was given."""

    model_config = example(challenge="from /auth/login")

    challenge: Short | None = None


class ShownPasskeyIn(Input):
    """What `navigator.credentials.get` answered."""

    model_config = example(challenge="from /options", credential=_CREDENTIAL)

    challenge: Short
    credential: dict[str, Any] = Field(description="An AuthenticationResponseJSON (WebAuthn Level 3, 5.1).")
    remember_device: bool = False


@router.post("/security/passkeys/options")
async def begin_registration(
    rt: Rt,
    request: Request,
    live: Annotated[Live, own_session(sudo=True, rate=RateClass.SENSITIVE, enrolling=True)],
) -> Ceremony:
    """What the browser needs to make a passkey."""
    return await ceremonies.begin_registration(rt, live.actor(ip_of(request)), _origin(rt, request))


@router.post("/security/passkeys", status_code=201)
async def add_passkey(
    rt: Rt,
    request: Request,
    live: Annotated[Live, own_session(sudo=True, rate=RateClass.SENSITIVE, enrolling=True)],
    body: NewPasskeyIn,
) -> NewPasskey:
    """Keep the passkey that the browser made."""
    actor = live.actor(ip_of(request))
    return await ceremonies.finish_registration(rt, actor, body.challenge, body.credential, body.name)


@router.patch("/security/passkeys/{id}")
async def rename_passkey(
    rt: Rt, request: Request, live: Annotated[Live, own_session()], id: Id, body: NameIn
) -> PasskeyView:
    """Give it another name."""
    return await passkeys.rename_passkey(rt, live.actor(ip_of(request)), id, body.name)


@router.delete("/security/passkeys/{id}", status_code=204)
async def remove_passkey(rt: Rt, request: Request, live: Annotated[Live, own_session(sudo=True)], id: Id) -> Response:
    """Have it work no longer."""
    await passkeys.remove_passkey(rt, live.actor(ip_of(request)), id)
    return Response(status_code=204)


@router.post("/security/passkeys/proof")
async def begin_proof(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=RateClass.SENSITIVE, enrolling=True)]
) -> Ceremony:
    """What the browser needs to show a passkey at `/auth/reauthenticate`."""
    return await ceremonies.begin_proof(rt, live.actor(ip_of(request)), _origin(rt, request))


@router.post("/auth/passkey/options", dependencies=[anybody(RateClass.SIGN_IN)])
async def begin_sign_in(rt: Rt, request: Request, body: PasskeyChallengeIn | None = None) -> Ceremony:
    """What the browser needs to show a passkey: as the second factor of a sign-in, or instead of a password."""
    require_own_page(rt, request)
    return await ceremonies.begin_sign_in(rt, _origin(rt, request), body.challenge if body else None)


@router.post("/auth/passkey/verify", dependencies=[anybody(RateClass.SIGN_IN)])
async def finish_sign_in(rt: Rt, request: Request, response: Response, body: ShownPasskeyIn) -> SignedIn:
    """Sign in by the passkey that was shown: sets the session cookie."""
    require_own_page(rt, request)
    proven = await ceremonies.prove(rt, body.challenge, body.credential, ceremonies.ALONE, ceremonies.SECOND)
    methods = "password passkey" if proven.second else "passkey"
    remember = proven.second and body.remember_device
    done = await sign_in.complete(rt, proven.user, caller_of(rt, request), methods, remember=remember)
    await hand_over(rt, response, done)
    return SignedIn(user=users.user_view(done.user))


def _origin(rt: Rt, request: Request) -> str:
    """The origin of our page that calls: credentials are bound to it.

    Raises:
        ForbiddenError: this is no call of a page, or not of ours.
    """
    if not is_same_origin_call(rt.settings, request.headers):
        raise ForbiddenError("Passkeys are for browsers: this has to be called by a page of NovaPulse.")
    return request.headers.get("origin", "")
