"""Who gets a socket or a page of a real, running NovaPulse, by which ways, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest

from novapulse.launch import frontend
from tests.calls import PASSWORD
from tests.house import House, open_house
from tests.tabs import LIMIT_S, LIST, NAMESPACE, knock, sign_in, tab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

POLLING = "/_event/?EIO=4&transport=polling&token=t"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


async def test_a_socket_opens_for_a_live_session_on_our_own_page_only(house: House) -> None:
    ours, cookie = house.instance.url, f"np_session={house.admin}"
    assert await knock(house.instance, Cookie=cookie, Origin=ours), "the control"
    port = house.instance.port
    for why, headers in {
        "no cookie": {"Origin": ours},
        "garbage": {"Origin": ours, "Cookie": "np_session=garbage"},
        "an empty cookie": {"Origin": ours, "Cookie": "np_session="},
        "the public id for a token": {"Origin": ours, "Cookie": f"np_session={house.session_id(house.admin)}"},
        "another name": {"Origin": ours, "Cookie": f"session={house.admin}"},
        "a key header in place of it": {"Origin": ours, "X-Auth-Request-Access-Token": house.session_id(house.admin)},
        "no origin": {"Cookie": cookie},
        "a null origin": {"Cookie": cookie, "Origin": "null"},
        "a foreign origin": {"Cookie": cookie, "Origin": "https://evil.example"},
        "a longer name": {"Cookie": cookie, "Origin": f"http://127.0.0.1.evil.example:{port}"},
        "another port": {"Cookie": cookie, "Origin": f"http://127.0.0.1:{port + 1}"},
        "a rebound name": {"Cookie": cookie, "Origin": f"http://evil.example:{port}", "Host": f"evil.example:{port}"},
        "no URL": {"Cookie": cookie, "Origin": "http://["},
    }.items():
        assert not await knock(house.instance, **headers), why


async def test_no_socket_opens_anywhere_else(house: House) -> None:
    headers = {"Cookie": f"np_session={house.admin}", "Origin": house.instance.url}
    for path in ("/", "/webhooks", "/_upload", "/api/v1/events", "/socket.io/?EIO=4&transport=websocket"):
        assert not await knock(house.instance, path, **headers), path


def test_there_is_no_polling_transport(house: House) -> None:
    for cookie in ("", house.admin):
        assert house.call("GET", POLLING, cookie).status_code == 404
        assert house.call("POST", POLLING, cookie).status_code == 404


def test_nothing_can_be_uploaded_through_reflex(house: House) -> None:
    for path in ("/_upload", "/_upload/", "/%5Fupload", "//_upload", "/_upload/x"):
        for cookie in ("", house.admin):
            headers = {"Origin": house.instance.url, "Cookie": f"np_session={cookie}"}
            files = {"files": ("a.txt", b"content")}
            url = house.instance.url + path
            assert httpx.post(url, files=files, headers=headers, trust_env=False).status_code in (303, 404, 405), path


def test_every_page_without_a_session_leads_to_signing_in(house: House) -> None:
    routes: list[str] = json.loads((frontend.frontend_dir() / "routes.json").read_text())
    pages = ["/" if route == "index" else f"/{route.replace('[webhook_id]', 'wh_1')}" for route in routes]
    assert "/webhooks/wh_1/edit" in pages
    beside = ["/index.html", "/index.html.gz", "/webhooks.html", "/webhooks/x.y", "/none", "/_all_routes"]
    for path in pages + beside:
        for cookie in ("", "garbage"):
            response = house.call("GET", path, cookie)
            assert response.status_code == 303, path
            assert response.headers["location"].startswith("/login")
            assert response.headers["cache-control"] == "no-store"
    assert house.call("GET", "/", house.viewer).status_code == 200


def test_what_reflex_serves_beside_pages_tells_nothing(house: House) -> None:
    assert house.call("GET", "/ping").text == '"pong"'
    assert house.call("GET", "/_health").json() == {"status": True}
    for path in ("/auth-codespace", "/_all_routes"):
        assert house.call("GET", path).status_code == 303


@pytest.mark.parametrize("how", ["revoked", "signed out", "shut out"])
async def test_a_session_that_ends_takes_its_socket_along(house: House, how: str) -> None:
    email = f"{how.replace(' ', '-')}@example.com"
    user = house.call("POST", "/api/v1/users", house.admin, email=email, password=PASSWORD, role="operator").json()
    first, second = sign_in(house.instance, email, PASSWORD), sign_in(house.instance, email, PASSWORD)
    async with tab(house.instance, first, how) as page, tab(house.instance, house.admin, f"not {how}") as other:
        await page.settle()
        if how == "revoked":
            done = house.call("DELETE", f"/api/v1/security/sessions/{house.session_id(first)}", second)
        elif how == "signed out":
            done = house.call("POST", "/api/v1/auth/logout", first)
        else:
            done = house.call("PATCH", f"/api/v1/users/{user['id']}", house.admin, active=False)
        assert done.is_success
        await asyncio.wait_for(page.closed.wait(), LIMIT_S)
        await other.settle()
    assert not await knock(house.instance, Cookie=f"np_session={first}", Origin=house.instance.url)


async def test_a_flood_and_a_giant_frame_close_the_socket_and_hurt_nobody_else(house: House) -> None:
    async with tab(house.instance, house.admin, "calm") as calm:
        async with tab(house.instance, house.viewer, "giant") as page:
            await page.say(f"{LIST}.search", form={"q": "x" * 300_000})
            await asyncio.wait_for(page.closed.wait(), LIMIT_S)
        async with tab(house.instance, house.viewer, "flood") as page:
            for _ in range(400):
                if page.closed.is_set():
                    break
                await page.sio.emit("ping", namespace=NAMESPACE)
            await asyncio.wait_for(page.closed.wait(), LIMIT_S)
        await calm.settle()
