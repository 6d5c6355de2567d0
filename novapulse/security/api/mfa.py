"""`/security/mfa` and `/security/recovery-codes`: the second factors of the signed-in user."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, model_validator

from novapulse.core.clock import rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.http import ApiRoute
from novapulse.security import authenticators, factors, mfa, sessions, totp
from novapulse.security.api.common import Id, Input, Rt, Short, caller_of, example
from novapulse.security.authenticate import ip_of
from novapulse.security.authenticators import AuthenticatorView
from novapulse.security.mfa import MfaView
from novapulse.security.policy import RateClass, own_session
from novapulse.security.sessions import Live

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])
_SENSITIVE = RateClass.SENSITIVE


class EnrolIn(Input):
    """A new authenticator."""

    model_config = example(name="Phone")

    name: Short | None = None


class Enrolling(BaseModel):
    """What the authenticator needs. In this answer, and nowhere else."""

    id: str
    secret: str = Field(description="To type where no camera is at hand: base32, SHA-1, 6 digits, 30 seconds.")
    otpauth_uri: str
    qr_svg: str = Field(description="The same as a QR code, for the page.")
    expires_at: str


class EndOthersIn(Input):
    """Nothing but a wish."""

    model_config = example(end_other_sessions=True)

    end_other_sessions: bool = False


class ConfirmIn(EndOthersIn):
    """The first code of a new authenticator."""

    model_config = example(code="123456")

    code: Short
    id: Short | None = Field(default=None, description="Of the set-up; left out: the last one begun.")


class SavedIn(Input):
    """That the recovery codes are kept: one of them, or one's word."""

    model_config = example(code="abcd-efgh-jkmn-pqrs")

    code: Short | None = Field(default=None, description="Compared, and not used up.")
    saved: bool = False

    @model_validator(mode="after")
    def _one(self) -> SavedIn:
        if (self.code is None) != self.saved:
            raise ValueError("give a code, or saved: true")
        return self


class CodeIn(Input):
    """A code to prove."""

    model_config = example(code="123456")

    code: Short


class NameIn(Input):
    """Another name."""

    model_config = example(name="Old phone")

    name: Short


class RecoveryCodes(BaseModel):
    """Fresh codes. In this answer, and nowhere else; empty where earlier ones still work."""

    recovery_codes: list[str]


class ProvenFactor(BaseModel):
    """A factor that works."""

    kind: factors.Kind
    name: str
    proven_at: str


@router.get("/security/mfa")
async def show_mfa(rt: Rt, response: Response, live: Annotated[Live, own_session(enrolling=True)]) -> MfaView:
    """How two-factor sign-in stands."""
    response.headers["Cache-Control"] = "no-store"
    return await mfa.show(rt, live.actor())


@router.post("/security/mfa/enroll")
async def enroll(
    rt: Rt,
    request: Request,
    response: Response,
    live: Annotated[Live, own_session(sudo=True, rate=_SENSITIVE, enrolling=True)],
    body: EnrolIn | None = None,
) -> Enrolling:
    """Begin to set up an authenticator, in place of one begun before. It waits ten minutes for its first code."""
    begun = await authenticators.enroll(rt, live.actor(ip_of(request)), body.name if body else None)
    response.headers["Cache-Control"] = "no-store"
    return Enrolling(
        id=begun.id,
        secret=begun.secret,
        otpauth_uri=begun.otpauth_uri,
        qr_svg=totp.qr_svg(begun.otpauth_uri),
        expires_at=rfc3339(begun.expires_at),
    )


@router.post("/security/mfa/confirm")
async def confirm(
    rt: Rt,
    request: Request,
    response: Response,
    live: Annotated[Live, own_session(rate=_SENSITIVE, enrolling=True)],
    body: ConfirmIn,
) -> RecoveryCodes:
    """End the set-up by the first code; from now on the second factor is asked for."""
    actor = live.actor(ip_of(request))
    with _at_code():
        codes = await authenticators.confirm(rt, actor, body.code, body.id)
    if body.end_other_sessions:
        await sessions.revoke_others(rt, actor)
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodes(recovery_codes=codes)


@router.post("/security/mfa/saved", status_code=204)
async def saved(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=_SENSITIVE, enrolling=True)], body: SavedIn
) -> Response:
    """Show that the recovery codes are kept; with that, two-factor sign-in is on."""
    with _at_code():
        await mfa.saved(rt, live.actor(ip_of(request)), body.code)
    return Response(status_code=204)


@router.post("/security/mfa/disable", status_code=204)
async def disable(
    rt: Rt,
    request: Request,
    live: Annotated[Live, own_session(sudo=True, rate=_SENSITIVE)],
    body: EndOthersIn | None = None,
) -> Response:
    """Remove all second factors, and forget which devices were remembered."""
    actor = live.actor(ip_of(request))
    await mfa.disable(rt, actor)
    if body is not None and body.end_other_sessions:
        await sessions.revoke_others(rt, actor)
    return Response(status_code=204)


@router.post("/security/mfa/drill")
async def drill(
    rt: Rt, request: Request, live: Annotated[Live, own_session(rate=RateClass.SIGN_IN)], body: CodeIn
) -> ProvenFactor:
    """Prove a code without signing in. A recovery code is not used up."""
    caller = caller_of(rt, request)
    with _at_code():
        proof = await mfa.drill(rt, live.actor(caller.ip), body.code, caller, live.device_id)
    return ProvenFactor(kind=proof.kind, name=proof.name, proven_at=rfc3339(proof.at))


@router.post("/security/recovery-codes")
async def new_recovery_codes(
    rt: Rt,
    request: Request,
    response: Response,
    live: Annotated[Live, own_session(sudo=True, rate=_SENSITIVE, enrolling=True)],
) -> RecoveryCodes:
    """Make fresh recovery codes; those before them no longer work."""
    codes = await mfa.new_recovery_codes(rt, live.actor(ip_of(request)))
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodes(recovery_codes=codes)


@router.patch("/security/mfa/authenticators/{id}")
async def rename_authenticator(
    rt: Rt, request: Request, live: Annotated[Live, own_session()], id: Id, body: NameIn
) -> AuthenticatorView:
    """Give an authenticator another name."""
    return await authenticators.rename(rt, live.actor(ip_of(request)), id, body.name)


@router.delete("/security/mfa/authenticators/{id}", status_code=204)
async def remove_authenticator(
    rt: Rt, request: Request, live: Annotated[Live, own_session(sudo=True, rate=_SENSITIVE)], id: Id
) -> Response:
    """Have an authenticator work no longer; the last factor goes by turning two-factor sign-in off."""
    await authenticators.remove(rt, live.actor(ip_of(request)), id)
    return Response(status_code=204)


@contextmanager
def _at_code() -> Generator[None]:
    """A wrong code as what is wrong with the body."""
    try:
        yield
    except factors.WrongCodeError as wrong:
        error = InvalidError.at("/code", wrong.detail)
        error.detail, error.type = wrong.detail, wrong.type
        raise error from None
