"""Celery over Redis: `celery -A celery_peer worker` runs jobs, `celery_peer.py fill N | steady RATE SECONDS` sends.

Runs in an environment of its own, with the stores of `bench.jobs`: Celery wants another client of Redis than we do.
"""

import os
import sys
import time

from celery import Celery
from tally import Tally

app = Celery("peer", broker=f"redis+socket://{os.environ['PEER_SOCKET']}?virtual_host=2")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # a job outlives its worker, as with the others
    worker_prefetch_multiplier=int(os.environ.get("PEER_CONCURRENCY", "32")),
    broker_connection_retry_on_startup=True,
)
tally = Tally()


@app.task(name="nothing")
def nothing(total: int, sent_s: float) -> None:
    """Do nothing."""
    tally.note(total, sent_s)


if __name__ == "__main__":
    words = sys.argv[1:]
    with app.producer_pool.acquire(block=True) as producer:
        began = time.perf_counter()
        if words[0] == "fill":
            count = int(words[1])
            for _ in range(count):
                nothing.apply_async((count, time.time()), producer=producer)
        else:
            rate, count = int(words[1]), int(words[1]) * int(words[2])
            for n in range(count):
                time.sleep(max(0.0, began + n / rate - time.perf_counter()))
                nothing.apply_async((count, time.time()), producer=producer)
        print(count / (time.perf_counter() - began))
