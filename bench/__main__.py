"""All benchmarks, one after the other, or the one that is named: `python -m bench [NAME] [options]`."""

from __future__ import annotations

import sys

from bench import dashboards, deliveries, footprint, ingest, isolation, jobs, metrics, report, rolling, stats

_BENCHMARKS = {
    "deliveries": deliveries.main,
    "ingest": ingest.main,
    "isolation": isolation.main,
    "footprint": footprint.main,
    "jobs": jobs.main,
    "report": report.main,
    "rolling": rolling.main,
    "stats": stats.main,
    "dashboards": dashboards.main,
    "metrics": metrics.main,
}


def main() -> None:
    """Run the benchmark that is named, with its options, or all of them."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name is None:
        for title, run in _BENCHMARKS.items():
            print(f"== {title}", flush=True)
            run()
    elif name in _BENCHMARKS:
        del sys.argv[1]
        _BENCHMARKS[name]()
    else:
        sys.exit(f"There is no benchmark {name!r}; there are: {', '.join(_BENCHMARKS)}.")


if __name__ == "__main__":
    main()
