"""Workflows and runs in every state, to look at."""

from __future__ import annotations

from novapulse.workflows.screens.starters import STARTERS
from tests.e2e.site import Site, wait_until

WAITS, FAILS, EACH = "Welcome a customer", "Check large orders", "A workflow whose owners could not agree"


def begin(site: Site, word: str, mark: str = "") -> None:
    """One that waits, one that failed, and one with everything inside of everything, under long names.

    `mark` goes before their names, for `clear`.
    """
    sources = {starter.key: starter.source for starter in STARTERS}
    started = {
        WAITS: (sources["follow-up"], {"id": "c", "name": "Ada", "email": "ada@example.com"}),
        FAILS: (sources["decide"], {"id": "o", "total": 1500}),
        EACH: (sources["each"].replace("Ship every line", f"{EACH} {word[:40]}"), {"lines": [{"sku": word}] * 3}),
    }
    for source, given in started.values():
        made = site.post("/workflows", {"source": source.replace("name: ", f"name: {mark}", 1)})
        site.post(f"/workflows/{made['id']}/runs", {"input": given})
    nightly = sources["nightly"].replace("name: ", f"name: {mark}", 1)
    site.post("/workflows", {"source": nightly, "enabled": False})
    wait_until(lambda: site.get("/workflow-runs", state="failed")["data"], "the one without its secret failed")


def clear(site: Site) -> None:
    """Delete those of this site's mark."""
    while found := site.get("/workflows", q=site.mark)["data"]:
        for workflow in found:
            site.client.delete(f"/workflows/{workflow['id']}").raise_for_status()


def path(site: Site, name: str, query: str = "") -> str:
    """The page of a workflow."""
    return f"/workflows/{site.get('/workflows', q=name)['data'][0]['id']}{query}"


def run_path(site: Site, name: str, query: str = "") -> str:
    """The page of its latest run."""
    return f"/workflows/runs/{site.get('/workflows', q=name)['data'][0]['last_run']['id']}{query}"
