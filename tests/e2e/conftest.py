"""One NovaPulse and one browser for the tests of this folder.

By default a `novapulse up` of their own. With E2E_BASE_URL, E2E_EMAIL and E2E_PASSWORD set they run against that
instance instead; what they cannot do there is skipped with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from novapulse.launch import frontend
from tests import browser as chromium
from tests.e2e.site import EMAIL, PASSWORD, WAIT_S, Site
from tests.e2e.tasks import MODULE
from tests.e2e.watch import Watch
from tests.instance import Instance, running
from tests.receiver import Receiver, receiving

expect.set_options(timeout=WAIT_S * 1000)
LOOPBACK = "127.0.0.0/8"
DESKTOP, PHONE = (1440, 900), (390, 844)

OpenPage = Callable[..., Page]


# Of the package, not of the session: while Playwright's loop runs, no asynchronous test can.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """Playwright; there can be one at a time."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def chrome(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium."""
    path = chromium.find()
    if path is None:
        pytest.fail("there is no Chromium; `make browser` installs one")
    launched = playwright.chromium.launch(executable_path=path, args=[*chromium.ARGUMENTS])
    yield launched
    launched.close()


@pytest.fixture(scope="package")
def built() -> None:
    """The compiled frontend is that of the sources."""
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)


@pytest.fixture(scope="package")
def _running_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if given := os.environ.get("E2E_BASE_URL", "").rstrip("/"):
        missing = [name for name in ("E2E_EMAIL", "E2E_PASSWORD") if not os.environ.get(name)]
        assert not missing, f"with E2E_BASE_URL, set {' and '.join(missing)} too"
        found = Site(given, os.environ["E2E_EMAIL"], os.environ["E2E_PASSWORD"])
        found.sign_in()
        yield found
        return
    request.getfixturevalue("built")
    settings = {"admin_email": EMAIL, "admin_password": PASSWORD, "allow_private_networks": LOOPBACK}
    settings |= {"task_modules": MODULE, "trace_url": "https://tempo.example/trace/{trace_id}"}
    with running(tmp_path_factory.mktemp("e2e"), **settings) as instance:
        found = Site(instance.url, EMAIL, PASSWORD, instance)
        found.sign_in()
        yield found


@pytest.fixture
def site(_running_site: Site) -> Iterator[Site]:
    """The NovaPulse under test; what the test makes is deleted after it."""
    yield _running_site
    _running_site.clean()


@pytest.fixture
def new_instance(request: pytest.FixtureRequest) -> Iterator[Callable[..., Instance]]:
    """Starts a NovaPulse for this test alone, which may be broken."""
    if os.environ.get("E2E_BASE_URL"):
        pytest.skip("starts and stops a server of its own, which E2E_BASE_URL is not")
    request.getfixturevalue("built")
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    made: list[Instance] = []

    def start(**settings: str) -> Instance:
        made.append(Instance(factory.mktemp("own"), allow_private_networks=LOOPBACK, **settings))
        made[-1].start()
        return made[-1]

    yield start
    for instance in made:
        instance.kill()


@pytest.fixture(scope="package")
def _is_within_reach(_running_site: Site) -> bool:
    """Whether the instance can and may send to this machine."""
    if _running_site.instance is not None:
        return True
    with receiving() as receiver:
        body = {"url": receiver.url(), "name": _running_site.name(), "event_types": ["e2e.reach"], "timeout_s": 2}
        made = _running_site.client.post("/webhooks", json=body)
        if made.status_code != 201:
            return False
        _running_site.client.post(f"/webhooks/{made.json()['id']}/test", json={})
        return bool(receiver.arrivals)


@pytest.fixture
def receiver(_is_within_reach: bool) -> Iterator[Receiver]:
    """Somebody to send to; `receiver.rule` says how it answers."""
    if not _is_within_reach:
        pytest.skip("the instance at E2E_BASE_URL cannot send to this machine's loopback addresses")
    with receiving() as started:
        yield started


@pytest.fixture
def open_page(chrome: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Open pages in browsers of their own, each without a session; `watch` collects their faults."""
    watches: list[Watch] = []
    contexts: list[Any] = []

    def open_(
        origin: str,
        *,
        cookies: list[dict[str, Any]] | None = None,
        size: tuple[int, int] = DESKTOP,
        theme: Literal["light", "dark"] = "light",
        watch: Watch | None = None,
    ) -> Page:
        context = chrome.new_context(
            base_url=origin,
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(WAIT_S * 1000)
        contexts.append(context)
        context.add_cookies(cookies or [])  # type: ignore[arg-type]
        page = context.new_page()
        watches.append(watch or Watch(origin))
        watches[-1].add(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    faults = [fault for each in watches for fault in each.faults()]
    assert faults == []


@pytest.fixture
def watch(site: Site) -> Watch:
    """What holds `page` to account; a test that provokes a fault allows it here."""
    return Watch(site.url)


@pytest.fixture
def page(open_page: OpenPage, site: Site, watch: Watch) -> Page:
    """A page of somebody who is signed in."""
    return open_page(site.url, cookies=site.cookies(), watch=watch)


@pytest.fixture
def signed_in(open_page: OpenPage, site: Site) -> Callable[..., Page]:
    """Opens further pages of somebody who is signed in, each in a browser of its own."""
    return partial(open_page, site.url, cookies=site.cookies())
