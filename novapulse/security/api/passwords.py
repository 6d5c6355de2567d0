"""Passwords and e-mail addresses: judging, changing, resetting them, and coming in by an invitation."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from novapulse.core.clock import rfc3339
from novapulse.core.errors import ForbiddenError
from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime
from novapulse.security import email_change, links, password_change, setup, users
from novapulse.security.api.common import (
    EMAIL,
    PASSWORD,
    Input,
    Password,
    Rt,
    Short,
    caller_of,
    example,
    hand_over,
    require_own_page,
    set_session_cookie,
)
from novapulse.security.api.sign_in import SignedIn
from novapulse.security.authenticate import current_session, ip_of
from novapulse.security.passwords import LENGTH_ALONE, judge_password, length_min
from novapulse.security.policy import RateClass, anybody, own_session
from novapulse.security.rules import current_rules
from novapulse.security.sessions import Live

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])
_TOKEN = "behind the # of the link"  # noqa: S105 - an example


class PasswordChangeIn(Input):
    """The password in use, and another one."""

    model_config = example(current_password="a few words so far", new_password=PASSWORD)

    current_password: Password
    new_password: Password


class JudgedIn(Input):
    """A password as it is typed; by the token of a link, for the user whom it is for."""

    model_config = example(password=PASSWORD, email=EMAIL)

    password: Password
    email: Short = ""
    token: Short = ""


class Judgement(BaseModel):
    """How good it is."""

    score: int = Field(ge=0, le=4, description="zxcvbn's estimate: 0 is guessed at once, 4 by nobody.")
    warning: str
    suggestions: list[str]
    problem: str | None = Field(description="Why it would be refused.")


class EmailIn(Input):
    """An address."""

    model_config = example(email=EMAIL)

    email: Short


class TokenIn(Input):
    """What is in a mailed link."""

    model_config = example(token=_TOKEN)

    token: Short


class ChosenIn(TokenIn):
    """A password, chosen by a mailed link."""

    model_config = example(token=_TOKEN, password=PASSWORD)

    password: Password


class LinkView(BaseModel):
    """What a mailed link is for, or that of the set-up."""

    kind: links.Kind | Literal["setup"]
    email: str = Field(description="Whose it is; empty for the set-up, which makes the first account.")
    length_min: int = Field(description="How many characters a password of this user has at least.")
    expires_at: str | None = Field(description="null: once it is used.")


class ConfirmedEmail(BaseModel):
    """The address that is in use from now on."""

    email: str


@router.post("/auth/password/check", dependencies=[anybody()])
async def check(rt: Rt, request: Request, response: Response, body: JudgedIn) -> Judgement:
    """How good a password is. Nothing of it is kept."""
    require_own_page(rt, request)
    length, email = await _whose(rt, request, body)
    verdict = await judge_password(body.password, length=length, email=email)
    response.headers["Cache-Control"] = "no-store"
    problem = None if verdict.problem is None else f"{verdict.problem[0].upper()}{verdict.problem[1:]}."
    return Judgement(score=verdict.score, warning=verdict.warning, suggestions=verdict.suggestions, problem=problem)


async def _whose(rt: Runtime, request: Request, body: JudgedIn) -> tuple[int, str]:
    """How long the password has to be, and the address that must not be in it; an address alone tells nothing."""
    if body.token:
        try:
            opened = await password_change.open_link(rt, body.token)
        except ForbiddenError:
            return LENGTH_ALONE, body.email
        return opened.length_min, opened.email
    live = await current_session(request)
    if live is None:
        return LENGTH_ALONE, body.email
    return length_min(live.user.role, (await current_rules(rt)).require_mfa), live.user.email


@router.post(
    "/auth/password/forgot", status_code=202, response_class=Response, dependencies=[anybody(RateClass.SIGN_IN)]
)
async def forgot(rt: Rt, request: Request, body: EmailIn) -> Response:
    """Have a link mailed by which to choose a new password. Whether there is such a user, the answer does not tell."""
    require_own_page(rt, request)
    await password_change.forgot(rt, body.email, caller_of(rt, request))
    return Response(status_code=202)


@router.post("/auth/link", dependencies=[anybody(RateClass.SIGN_IN)])
async def open_link(rt: Rt, request: Request, response: Response, body: TokenIn) -> LinkView:
    """What a mailed link, or that of the set-up, is for; it is not used up."""
    require_own_page(rt, request)
    response.headers["Cache-Control"] = "no-store"
    if await setup.is_open(rt, body.token):
        length = length_min("admin", (await current_rules(rt)).require_mfa)
        return LinkView(kind="setup", email="", length_min=length, expires_at=None)
    found = await password_change.open_link(rt, body.token)
    return LinkView(
        kind=found.kind, email=found.email, length_min=found.length_min, expires_at=rfc3339(found.expires_at)
    )


@router.post("/auth/password/reset", status_code=204, dependencies=[anybody(RateClass.SIGN_IN)])
async def reset(rt: Rt, request: Request, body: ChosenIn) -> Response:
    """Choose a new password by a mailed link; all sessions end, and one signs in as usual."""
    require_own_page(rt, request)
    await password_change.reset(rt, body.token, body.password, caller_of(rt, request))
    return Response(status_code=204)


@router.post("/auth/invitation/accept", dependencies=[anybody(RateClass.SIGN_IN)])
async def accept_invitation(rt: Rt, request: Request, response: Response, body: ChosenIn) -> SignedIn:
    """Choose a first password by the link of an invitation: sets the session cookie."""
    require_own_page(rt, request)
    done = await password_change.accept_invitation(rt, body.token, body.password, caller_of(rt, request))
    await hand_over(rt, response, done)
    return SignedIn(user=users.user_view(done.user))


@router.post("/auth/email/confirm", dependencies=[anybody(RateClass.SIGN_IN)])
async def confirm_email(rt: Rt, request: Request, body: TokenIn) -> ConfirmedEmail:
    """Use an address from now on, by the link that was mailed there."""
    require_own_page(rt, request)
    return ConfirmedEmail(email=await email_change.confirm(rt, body.token, caller_of(rt, request)))


@router.post("/security/password", status_code=204)
async def change_password(
    rt: Rt,
    request: Request,
    live: Annotated[Live, own_session(sudo=True, rate=RateClass.SENSITIVE)],
    body: PasswordChangeIn,
) -> Response:
    """Change one's password; all other sessions end."""
    caller = caller_of(rt, request)
    token = await password_change.change_password(rt, live, caller, body.current_password, body.new_password)
    response = Response(status_code=204)
    await set_session_cookie(rt, response, token)
    return response


@router.post("/security/email", status_code=202, response_class=Response)
async def change_email(
    rt: Rt,
    request: Request,
    live: Annotated[Live, own_session(sudo=True, rate=RateClass.SENSITIVE)],
    body: EmailIn,
) -> Response:
    """Have a link mailed to another address, which is used from then on when it is opened."""
    await email_change.ask(rt, live.actor(ip_of(request)), body.email, caller_of(rt, request))
    return Response(status_code=202)
