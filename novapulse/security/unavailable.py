"""The page for people while the database is away: it says so, and comes back by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import Response

from novapulse.core.problems import AWAY

Page = Callable[[Request], Awaitable[Response]]
_RETRY_S = 5

log = structlog.get_logger(__name__)


def unavailable() -> Response:
    """503, with words."""
    from novapulse.security.pages import render

    page = render("unavailable.html", status=503)
    page.headers["retry-after"] = str(_RETRY_S)
    return page


def or_unavailable(page: Page) -> Page:
    """The page, or while a store is away the one that says so."""

    async def answer(request: Request) -> Response:
        try:
            return await page(request)
        except AWAY as error:
            log.warning("dependency_away", path=request.url.path, error=f"{type(error).__name__}: {error}"[:300])
            return unavailable()

    return answer
