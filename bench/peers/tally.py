"""What a peer's worker counts of its own jobs: written to the file PEER_OUT once all of a phase have run."""

import json
import os
import time
from pathlib import Path


class Tally:
    """Counts jobs that do nothing."""

    def __init__(self) -> None:
        self._began = 0.0
        self._cpu = 0.0
        self._waits: list[float] = []

    def note(self, total: int, sent_s: float) -> None:
        """One of `total` jobs has begun that was sent at this time."""
        now = time.time()
        if not self._waits:
            self._began, self._cpu = now, time.process_time()
        self._waits.append((now - sent_s) * 1000)
        if len(self._waits) < total:
            return
        waits = sorted(self._waits)
        figures = {
            "per_s": total / (time.time() - self._began),
            "cpu_us": (time.process_time() - self._cpu) / total * 1e6,
            "p50": waits[total // 2],
            "p99": waits[total * 99 // 100],
        }
        self._waits = []
        out = Path(os.environ["PEER_OUT"])
        part = out.with_suffix(".part")
        part.write_text(json.dumps(figures))
        part.rename(out)
