"""What tracing costs: deliveries per second and CPU of the worker with it off, sampled at 0.01, and at 1.

The collector is a process of its own that takes what it is sent and answers at once. Run: `python -m bench.tracing`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Generator

from bench.common import novapulse, sink
from bench.deliveries import measure_novapulse

_COLLECTOR = """
import http.server, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
_KINDS = {"off": None, "ratio 0.01": "0.01", "ratio 1": "1"}


@contextlib.contextmanager
def _collector() -> Generator[str]:
    process = subprocess.Popen([sys.executable, "-c", _COLLECTOR], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    with sink() as url, _collector() as collector:
        for _ in range(chosen.rounds):
            for kind, ratio in _KINDS.items():
                settings = {"NOVAPULSE_WEBHOOK_CONCURRENCY": "64", "NOVAPULSE_HEARTBEAT_TTL_S": "600"}
                if ratio is not None:
                    settings |= {"NOVAPULSE_OTLP_ENDPOINT": collector, "NOVAPULSE_TRACE_SAMPLE_RATIO": ratio}
                with novapulse(**settings) as instance:
                    found[kind].append(measure_novapulse(instance, url, chosen.events))
                print(kind, json.dumps(found[kind][-1]), flush=True)
    for kind, rounds in found.items():
        per_s, cpu = (statistics.median(each[what] for each in rounds) for what in ("per_s", "cpu_us"))
        print(f"{kind:10s} {per_s:8.0f} deliveries/s {cpu:6.0f} us CPU of the worker each")


if __name__ == "__main__":
    main()
