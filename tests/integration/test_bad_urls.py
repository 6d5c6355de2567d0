"""URLs that no webhook may have: refused when it is made and when it is changed, with the place and the rule."""

from __future__ import annotations

from novapulse.core.runtime import Runtime
from tests.calls import PUBLIC_URL, calling, problem, row_counts

REFUSED = [
    "",
    "/hook",
    "https://",
    "ftp://93.184.215.14/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "https://user:word@93.184.215.14/",
    "https://user@93.184.215.14/",
    "https://93.184.215.14/#part",
    "https://93.184.215.14:0/",
    "https://93.184.215.14:65536/",
    "https://93.184.215.14\\@10.0.0.1/",
    "https://93.184.215.14/ b",
    " https://93.184.215.14/",
    "https://93.184.215.14/\r\nX-Injected: 1",
    "https://93.184.215.14/" + "x" * 2048,
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fd00::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
]
REFUSED_BY_DEFAULT = [
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://localhost/",
    "http://app.localhost/",
    "http://metadata.google.internal/",
    "http://redis.default.svc.cluster.local/",
    "http://intranet/",
]


async def test_a_refused_url_is_422_at_its_place_and_writes_nothing(rt: Runtime) -> None:
    wrong: list[str] = []
    async with calling(rt, "*") as api:
        made = (await api.post("/webhooks", json={"url": PUBLIC_URL})).json()
        for url in REFUSED:
            for response in (
                await api.post("/webhooks", json={"url": url}),
                await api.patch(f"/webhooks/{made['id']}", json={"url": url}),
            ):
                try:
                    problem(response, 422, "/url")
                except AssertionError as error:
                    wrong.append(f"{url[:60]!r}: {str(error)[:200]}")
        assert not wrong, "\n".join(wrong)
        assert (await api.get(f"/webhooks/{made['id']}")).json()["url"] == PUBLIC_URL
    assert (await row_counts(rt))["webhook"] == 1


async def test_this_machine_and_private_names_are_refused_unless_allowed(rt: Runtime) -> None:
    rt.settings = rt.settings.model_copy(update={"allow_private_networks": []})
    async with calling(rt, "*") as api:
        for url in REFUSED_BY_DEFAULT:
            problem(await api.post("/webhooks", json={"url": url}), 422, "/url")
    assert (await row_counts(rt))["webhook"] == 0
