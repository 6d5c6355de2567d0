"""What can be said over an open socket of a real, running NovaPulse: only what the sender may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import House, open_house
from tests.tabs import LIST, ROOT, TRIAL, tab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DENIED, UNKNOWN = "You are not allowed to do this.", "This action does not exist."


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.mark.parametrize(
    "name",
    [
        f"{LIST}.setvar",
        f"{ROOT}.setvar",
        f"{LIST}.set_problem",
        f"{LIST}._read",
        f"{LIST}.reset",
        f"{LIST}.get_state",
        f"{LIST}.__init__",
        "reflex___state____state.novapulse___security___users.create_user",
        "none.such",
        "",
    ],
)
async def test_what_is_no_handler_does_nothing_even_for_an_admin(house: House, name: str) -> None:
    async with tab(house.instance, house.admin, f"unknown-{name}") as page:
        await page.say(name, var_name="problem", value="planted", problem="planted")
        await page.settle()
        await page.say(f"{LIST}.load")
        await page.hears('"loaded_rx_state_": true')
        assert "planted" not in page.text


async def test_a_setter_is_refused_by_name(house: House) -> None:
    async with tab(house.instance, house.admin, "setter") as page:
        await page.say(f"{LIST}.setvar", var_name="problem", value="planted")
        await page.hears(UNKNOWN)


async def test_the_one_open_way_to_set_variables_sets_none_of_ours(house: House) -> None:
    async with tab(house.instance, house.admin, "storage") as page:
        names = {f"{LIST}.problem_rx_state_": "planted", f"{LIST}.rows": ["planted"], f"{ROOT}.is_hydrated": "planted"}
        update = f"{ROOT}.reflex___state____update_vars_internal_state.update_vars_internal"
        await page.say(update, vars=names)
        await page.settle()
        assert "planted" not in page.text


async def test_a_viewer_may_look_and_not_act(house: House) -> None:
    made = house.call("POST", "/api/v1/webhooks", house.admin, url="https://93.184.215.14/", name="kept").json()
    async with tab(house.instance, house.viewer, "viewer") as page:
        await page.say(f"{LIST}.load")
        await page.hears('"loaded_rx_state_": true', "kept")
        await page.say(f"{LIST}.select", webhook_id=made["id"], on=True)
        await page.hears('"selected_rx_state_": ["wh_')
        await page.say(f"{LIST}.act", what="delete")
        await page.hears(DENIED)
    assert house.call("GET", f"/api/v1/webhooks/{made['id']}", house.admin).status_code == 200


async def test_nobody_becomes_somebody_else_by_saying_so(house: House) -> None:
    theirs = house.session_id(house.admin)
    spoofed = {"x-auth-request-access-token": theirs}
    boot = {"name": f"{LIST}.act", "payload": {"what": "delete"}, "router_data": {"headers": spoofed}}
    async with tab(house.instance, house.viewer, "spoof", **{"X-Auth-Request-Access-Token": theirs}) as page:
        await page.say(f"{LIST}.act", router={"headers": spoofed, "sid": "x", "token": "y"}, what="delete")
        await page.hears(DENIED)
    async with tab(house.instance, house.viewer, "spoof-at-connect", auth={"event": boot}) as page:
        await page.settle()
        assert house.instance.process.is_running()
        assert "deleted" not in page.text


async def test_a_token_of_another_session_shows_nothing_of_it(house: House) -> None:
    async with tab(house.instance, house.admin, "shared") as mine:
        await mine.say(f"{TRIAL}.write", text="private-to-ada")
        await mine.hears("private-to-ada")
        async with tab(house.instance, house.viewer, "shared") as meanwhile:
            await meanwhile.settle()
            await meanwhile.say(f"{TRIAL}.write", text="of-vera")
            await meanwhile.hears(DENIED)
            assert "ada" not in meanwhile.text
        assert "of-vera" not in mine.text
    async with tab(house.instance, house.viewer, "shared") as after:
        await after.settle()
        assert "to-ada" not in after.text


async def test_no_credential_comes_back_over_the_socket(house: House) -> None:
    async with tab(house.instance, house.admin, "echo", Authorization="Bearer np_live_sent") as page:
        await page.settle()
        assert house.admin not in page.text
        assert "np_live_sent" not in page.text
        assert house.session_id(house.admin) not in page.text
