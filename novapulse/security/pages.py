"""`/login` and `/setup`: plain pages, so that nobody who is not signed in ever opens a socket."""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from novapulse.core.runtime import current
from novapulse.security import setup
from novapulse.security.passwords import LENGTH_MIN
from novapulse.security.users import count_users

_FOLDER = Path(__file__).parent / "static"
_FILES = {"auth.css": "text/css", "auth.js": "text/javascript", "logo.svg": "image/svg+xml"}
# Stricter than the app's: these pages hold no inline script or style.
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


async def login_page(request: Request) -> Response:
    """The sign-in form."""
    rt = current()
    if await count_users(rt) == 0:
        return _page("Set up NovaPulse", _NO_USER)
    target = html.escape(_local(request.query_params.get("next", "/")), quote=True)
    return _page("Sign in", _LOGIN.replace("{next}", target))


async def setup_page(request: Request) -> Response:
    """The form that makes the first admin."""
    rt = current()
    token = request.query_params.get("token", "")
    if await count_users(rt) > 0:
        return RedirectResponse("/login", 303)
    if not await setup.is_open(rt, token):
        return _page("Set up NovaPulse", _NO_USER, 403)
    filled = _SETUP.replace("{token}", html.escape(token, quote=True)).replace("{length}", str(LENGTH_MIN))
    return _page("Set up NovaPulse", filled)


async def auth_file(request: Request) -> Response:
    """Style and script of these pages."""
    name = request.path_params["name"]
    if name not in _FILES:
        return Response("Not found", 404)
    return FileResponse(_FOLDER / name, media_type=_FILES[name], headers={"cache-control": "no-cache"})


routes = [
    Route("/login", login_page),
    Route("/setup", setup_page),
    Route("/login/{name}", auth_file),
]


def _local(target: str) -> str:
    """A path of ours to go to after signing in; anything else becomes the overview."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if plain and "\\" not in target and target.isprintable() else "/"


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    content = _FRAME.replace("{title}", title).replace("{body}", body)
    return HTMLResponse(content, status, {"content-security-policy": _CSP, "cache-control": "no-store"})


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · NovaPulse</title>
<link rel="icon" href="/login/logo.svg">
<link rel="stylesheet" href="/login/auth.css">
<script src="/login/auth.js" defer></script>
</head>
<body>
<main>
<p class="brand"><img src="/login/logo.svg" alt="" width="28" height="28">NovaPulse</p>
{body}
</main>
</body>
</html>"""

_LOGIN = """<h1>Sign in</h1>
<form id="auth" action="/api/v1/auth/login" data-next="{next}" novalidate>
<p id="error" class="error" role="alert" data-testid="login-error" hidden></p>
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required autofocus data-testid="login-email">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
 data-testid="login-password">
<button type="submit" data-testid="login-submit">Sign in</button>
</form>"""

_SETUP = """<h1>Welcome</h1>
<p class="lead">Make the first account. It may do everything, and can let others in.</p>
<form id="auth" action="/api/v1/auth/setup" data-next="/" novalidate>
<p id="error" class="error" role="alert" data-testid="setup-error" hidden></p>
<input type="hidden" name="token" value="{token}">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required autofocus data-testid="setup-email">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="{length}"
 aria-describedby="hint" data-testid="setup-password">
<p id="hint" class="hint">At least {length} characters. A few words you can remember do well.</p>
<button type="submit" data-testid="setup-submit">Create account</button>
</form>"""

_NO_USER = """<h1>Not set up yet</h1>
<p class="lead">NovaPulse printed a one-time set-up link where it was started. Open that link to make the first
 account. Each start prints a fresh link until it is used.</p>"""
