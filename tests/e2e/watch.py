"""A page that is held to account: an error on its console, in its scripts or in what it loads fails the test."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, Response

# A page that is left stops loading what it no longer needs.
_LEFT = ("net::ERR_ABORTED",)


class Watch:
    """Collects what goes wrong on the pages of one test."""

    def __init__(self, origin: str) -> None:
        self._host = urlsplit(origin).netloc
        self._faults: list[str] = []
        self._allowed: list[str] = []

    def add(self, page: Page) -> None:
        """Hold this page to account, too."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._faults.append(f"script: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def allow(self, pattern: str) -> None:
        """This test provokes faults that match this."""
        self._allowed.append(pattern)

    def faults(self) -> list[str]:
        """What went wrong and was not provoked."""
        return [fault for fault in self._faults if not any(re.search(each, fault) for each in self._allowed)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request: Request) -> None:
        if request.failure not in _LEFT and self._is_ours(request.url):
            self._faults.append(f"request: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and self._is_ours(response.url):
            self._faults.append(f"response: {response.status} {response.request.method} {response.url}")

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url).netloc == self._host
