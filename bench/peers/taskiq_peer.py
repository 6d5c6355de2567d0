"""Taskiq as it is shipped, on a Redis stream: `taskiq worker taskiq_peer:broker` runs jobs; this file sends them."""

import asyncio
import os
import sys
import time

from tally import Tally
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(f"unix://{os.environ['PEER_SOCKET']}?db=3")
tally = Tally()


@broker.task(task_name="nothing")
async def nothing(total: int, sent_s: float) -> None:
    """Do nothing."""
    tally.note(total, sent_s)


async def main(words: list[str]) -> None:
    await broker.startup()
    began = time.perf_counter()
    if words[0] == "fill":
        count = int(words[1])
        for start in range(0, count, 100):
            # It has no bulk; as many at once as help.
            await asyncio.gather(*(nothing.kiq(count, time.time()) for _ in range(min(100, count - start))))
    else:
        rate, count = int(words[1]), int(words[1]) * int(words[2])
        for n in range(count):
            await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
            await nothing.kiq(count, time.time())
    print(count / (time.perf_counter() - began))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
