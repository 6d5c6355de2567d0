"""`/login`, `/setup`, and where mailed links lead: plain pages, so that nobody who is not signed in opens a socket.

They hold no inline script or style. The token of a mailed link stays behind the `#` of its address, which the browser
sends to nobody; the page's script reads it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from novapulse.core.runtime import current
from novapulse.security.passwords import LENGTH_ALONE, length_min
from novapulse.security.rules import current_rules
from novapulse.security.unavailable import or_unavailable
from novapulse.security.users import count_users

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Stricter than the app's: these pages hold no inline script or style.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_CHOOSE = {
    "/reset": {
        "kind": "reset",
        "path": "/auth/password/reset",
        "next": "",
        "title": "Choose a new password",
        "lead": "All devices are signed out when you do.",
        "action": "Change password",
        "instead": "",
    },
    "/invite": {
        "kind": "invite",
        "path": "/auth/invitation/accept",
        "next": "/",
        "title": "Welcome",
        "lead": "Choose a password to come in.",
        "action": "Create account",
        "instead": "Have you come in before? Then sign in. If not, ask an administrator to invite you again.",
    },
}
_CONFIRM = {
    "/confirm-email": {
        "kind": "email",
        "path": "/auth/email/confirm",
        "title": "Your new address",
        "lead": "From now on, sign in and get your notices as",
        "action": "Use this address",
        "done": "Your address is changed",
        "then": "Sign in with the new one from now on. The old one gets a notice.",
        "next": "/",
        "to": "Open NovaPulse",
        "instead": "To change your address, ask for a new link in your security settings.",
    },
    "/stop-reset": {
        "kind": "stop_reset",
        "path": "/auth/mfa-reset/stop",
        "title": "Stop the reset",
        "lead": "Somebody asked to remove the second factors of",
        "action": "Stop it",
        "done": "The reset is stopped",
        "then": "Your second factors stay. If you did not ask for it, change your password and tell an administrator.",
        "next": "/settings/security",
        "to": "Open security settings",
        "instead": "The reset may have been stopped or carried out already. Sign in to see how your account stands.",
    },
}


async def login_page(request: Request) -> Response:
    """The sign-in: a password, then a second factor."""
    rt = current()
    if await count_users(rt) == 0:
        return render("not_set_up.html")
    rules = await current_rules(rt)
    target = _local(request.query_params.get("next", "/"))
    return render("login.html", {"next": target, "remember_days": rules.remember_days})


async def setup_page(_: Request) -> Response:
    """The form that makes the first admin, for who has the link."""
    rt = current()
    if await count_users(rt) > 0:
        return RedirectResponse("/login#", 303)  # with a fragment of its own: the browser would keep that of the link
    rules = await current_rules(rt)
    return render("setup.html", {"length": length_min("admin", rules.require_mfa)})


async def forgot_page(_: Request) -> Response:
    """The form that asks for a link, or whom to ask where no mail is sent."""
    return render("forgot.html", {"mail": bool(current().settings.smtp_url.get_secret_value())})


async def choose_page(request: Request) -> Response:
    """Where the links of a reset and of an invitation lead."""
    return render("choose.html", {**_CHOOSE[request.url.path], "length": LENGTH_ALONE})


async def confirm_page(request: Request) -> Response:
    """Where links lead that only have to be said yes to."""
    return render("confirm.html", _CONFIRM[request.url.path])


async def auth_file(request: Request) -> Response:
    """Style and scripts of these pages."""
    name = request.path_params["name"]
    if name not in _files():
        return Response("Not found", 404)
    file = _FOLDER / name
    return FileResponse(file, media_type=_TYPES[file.suffix], headers={"cache-control": "no-cache"})


routes = [
    Route("/login", or_unavailable(login_page)),
    Route("/setup", or_unavailable(setup_page)),
    Route("/forgot", forgot_page),
    *(Route(path, choose_page) for path in _CHOOSE),
    *(Route(path, confirm_page) for path in _CONFIRM),
    Route("/login/{name}", auth_file),
]


@cache
def _files() -> frozenset[str]:
    return frozenset(file.name for file in _FOLDER.iterdir() if file.suffix in _TYPES)


def _local(target: str) -> str:
    """A path of ours to go to after signing in; anything else becomes the overview."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if plain and "\\" not in target and target.isprintable() else "/"


def render(template: str, values: Mapping[str, object] | None = None, status: int = 200) -> HTMLResponse:
    """A page of a template."""
    content = _environment().get_template(template).render(values or {})
    return HTMLResponse(content, status, {"content-security-policy": _CSP, "cache-control": "no-store"})


@cache
def _environment() -> Environment:
    # Imported when the first page is asked for: a process that serves none does without.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(_FOLDER / "html"), autoescape=True, undefined=StrictUndefined)
