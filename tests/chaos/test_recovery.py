"""A backup is made while events pour in; then everything is killed, deleted, and restored from that one file."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.chaos.conftest import House
from tests.receiver import Answer, receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_what_was_taken_in_before_the_backup_goes_out_after_all_is_lost(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    backup, up = tmp_path / "backup.tar.gz", {"now": False}
    with receiving(lambda _: Answer(status=200 if up["now"] else 503)) as receiver:
        house = make_house(NOVAPULSE_BACKUP_PASSPHRASE="only in the safe")  # pragma: allowlist secret
        house.webhook(receiver.url(), retry={"schedule_s": [5] * 14})
        before = house.send(500)
        stop = threading.Event()

        def pour() -> None:
            start = 500
            while not stop.is_set():
                house.send(100, start=start)
                start += 100

        pouring = threading.Thread(target=pour)
        pouring.start()
        try:
            house.cli("backup", "--out", str(backup))
        finally:
            stop.set()
            pouring.join()
        for process in [*psutil.Process(house.process.pid).children(recursive=True), psutil.Process(house.process.pid)]:
            process.kill()
        house.process.wait()
        shutil.rmtree(house.folder)

        house.cli("restore", str(backup))
        assert "intact" in house.cli("audit", "verify")
        up["now"] = True
        house.start()
        (kept,) = house.rows("SELECT count(*) FROM event")[0]
        house.wait_delivered(kept)
        assert set(before) <= receiver.counts().keys()
        assert house.client.get("/webhooks").status_code == 200, "the API key is the one of before"
