"""`/auth`: signing in and out, proving again who one is, and the first account."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, model_validator

from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import ForbiddenError
from novapulse.core.http import ApiRoute
from novapulse.security import factors, sessions, setup, sign_in, users
from novapulse.security import webauthn_ceremonies as ceremonies
from novapulse.security.api.common import (
    EMAIL,
    PASSWORD,
    Input,
    Password,
    Rt,
    Short,
    caller_of,
    cookie_flags,
    example,
    hand_over,
    require_own_page,
    set_session_cookie,
)
from novapulse.security.authenticate import cookie_name, current_session, ip_of
from novapulse.security.policy import RateClass, anybody, own_session
from novapulse.security.rules import current_rules, enrolment_due
from novapulse.security.sessions import Live
from novapulse.security.users import UserView

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])


class LoginIn(Input):
    """Credentials."""

    model_config = example(email=EMAIL, password=PASSWORD)

    email: Short
    password: Password


class SetupIn(LoginIn):
    """The first admin."""

    model_config = example(email=EMAIL, password=PASSWORD, token="from the printed link")

    token: Short


class CodeIn(Input):
    """A second factor."""

    model_config = example(challenge="from /auth/login", code="123456")

    challenge: Short
    code: Short = Field(description="Of an authenticator, or a recovery code.")
    remember_device: bool = Field(
        default=False, description="Ask for no second factor on this device for as long as the rules allow."
    )


class ProofIn(Input):
    """One proof of who one is: a password, a code, or the passkey that was shown."""

    model_config = example(password=PASSWORD)

    password: Password | None = None
    code: Short | None = None
    challenge: Short | None = None
    credential: dict[str, Any] | None = Field(
        default=None, description="An AuthenticationResponseJSON (WebAuthn Level 3, 5.1)."
    )

    @model_validator(mode="after")
    def _one(self) -> ProofIn:
        ways = (self.password is not None, self.code is not None, self.credential is not None)
        if sum(ways) != 1 or (self.credential is None) != (self.challenge is None):
            raise ValueError("give one of: password; code; challenge and credential")
        return self


class SignedIn(BaseModel):
    """Who is signed in now."""

    user: UserView


class SignedInByCode(SignedIn):
    """Who is signed in now, and how."""

    method: factors.Kind
    recovery_codes_left: int


class SecondFactorNeeded(BaseModel):
    """The password was right; the second factor is still to be shown."""

    mfa_required: Literal[True] = True
    challenge: str
    methods: list[factors.Method]


class OwnUser(UserView):
    """The signed-in user."""

    enrolment_due: str | None = Field(description="By when they have to set up a second factor.")
    must_enrol: bool = Field(description="Whether they may do nothing else before.")


class Me(BaseModel):
    """The signed-in user, and until when they need not prove again who they are."""

    user: OwnUser
    sudo_until: str | None


class Proven(BaseModel):
    """Who one is has been proven again."""

    sudo_until: str


@router.post("/auth/login", dependencies=[anybody(RateClass.SIGN_IN)])
async def login(rt: Rt, request: Request, response: Response, body: LoginIn) -> SignedIn | SecondFactorNeeded:
    """Sign in: sets the session cookie, or asks for the second factor.

    Wrong e-mail and wrong password are the same 401 in the same time.
    """
    require_own_page(rt, request)
    done = await sign_in.with_password(rt, body.email, body.password, caller_of(rt, request))
    response.headers["Cache-Control"] = "no-store"
    if isinstance(done, sign_in.Waiting):
        return SecondFactorNeeded(challenge=done.challenge, methods=done.methods)
    await hand_over(rt, response, done)
    return SignedIn(user=users.user_view(done.user))


@router.post("/auth/mfa/verify", dependencies=[anybody(RateClass.SIGN_IN)])
async def verify_code(rt: Rt, request: Request, response: Response, body: CodeIn) -> SignedInByCode:
    """Show the second factor: sets the session cookie. A code counts once.

    401 of type `clock-off`: the code is right, but for another time. 401 of type `challenge-ended`: begin again, with
    the password.
    """
    require_own_page(rt, request)
    caller = caller_of(rt, request)
    done, proof = await sign_in.with_code(rt, body.challenge, body.code, caller, remember=body.remember_device)
    await hand_over(rt, response, done)
    left = await sign_in.recovery_codes_left(rt, done.user.id)
    return SignedInByCode(user=users.user_view(done.user), method=proof.kind, recovery_codes_left=left)


@router.post("/auth/reauthenticate")
async def reauthenticate(
    rt: Rt,
    request: Request,
    response: Response,
    live: Annotated[Live, own_session(rate=RateClass.SIGN_IN, enrolling=True)],
    body: ProofIn,
) -> Proven:
    """Prove again who you are, for ten minutes: by the password, or by a second factor if you have one.

    The session goes on under a new token (the cookie changes). 401 of type `second-factor`: a password is not enough.
    """
    caller = caller_of(rt, request)
    if body.code is not None:
        method: str = (await sign_in.confirm_code(rt, live, body.code, caller)).kind
    elif body.credential is not None:
        proven = await ceremonies.prove(rt, body.challenge or "", body.credential, ceremonies.PROOF)
        if proven.user.id != live.user.id:
            raise ForbiddenError("This passkey is somebody else's.")
        method = "passkey"
    else:
        await sign_in.confirm_password(rt, live, body.password or "", caller)
        method = "password"
    elevated = await sessions.elevate(rt, live.actor(caller.ip), method)
    await set_session_cookie(rt, response, elevated.token)
    return Proven(sudo_until=rfc3339(elevated.sudo_until))


@router.post("/auth/setup", status_code=201, dependencies=[anybody(RateClass.SIGN_IN)])
async def complete_setup(rt: Rt, request: Request, response: Response, body: SetupIn) -> SignedIn:
    """Make the first admin by the one-time link, and sign in."""
    require_own_page(rt, request)
    caller = caller_of(rt, request)
    view = await setup.complete(rt, body.token, body.email, body.password, ip=ip_of(request))
    done = await sign_in.with_password(rt, view.email, body.password, caller)
    assert isinstance(done, sign_in.SignedIn), "a user just made has no second factor"
    await hand_over(rt, response, done)
    return SignedIn(user=users.user_view(done.user))


@router.post("/auth/logout", status_code=204, dependencies=[anybody()])
async def logout(rt: Rt, request: Request) -> Response:
    """Sign out: the session ends on the server, and the browser forgets what it stored."""
    live = await current_session(request)
    if live is not None:
        await sessions.revoke(rt, live.actor(ip_of(request)), live.session_id, "session.signed_out")
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(rt.settings), path="/", **cookie_flags(rt))
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


@router.get("/auth/me")
async def me(rt: Rt, response: Response, live: Annotated[Live, own_session(enrolling=True)]) -> Me:
    """The signed-in user."""
    due = enrolment_due(live.user, await current_rules(rt))
    view = users.user_view(live.user).model_dump()
    user = OwnUser(**view, enrolment_due=None if due is None else rfc3339(due), must_enrol=live.must_enrol)
    response.headers["Cache-Control"] = "no-store"
    return Me(user=user, sudo_until=rfc3339(live.sudo_until) if live.sudo_until > now_ms() else None)
