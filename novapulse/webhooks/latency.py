"""Durations counted in buckets of a logarithmic scale, so that percentiles of any span are a sum away.

Eight buckets per doubling: a percentile is right to within 9 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_PER_DOUBLING = 8
BUCKET_MAX = 240  # about 12 days


def bucket_of(ms: float) -> int:
    """The bucket of a duration in milliseconds; 0 takes everything up to 1 ms."""
    return 0 if ms <= 1 else min(BUCKET_MAX, math.ceil(math.log2(ms) * _PER_DOUBLING))


def upper_bound_ms(bucket: int) -> float:
    """The longest duration in a bucket, in milliseconds."""
    return 2.0 ** (bucket / _PER_DOUBLING)


def percentile(buckets: Mapping[str, int], share: float) -> float | None:
    """The duration (ms) that `share` (0 to 1) of the counted ones do not exceed; None if none were counted."""
    counts = sorted((int(bucket), count) for bucket, count in buckets.items())
    total = sum(count for _, count in counts)
    if total == 0:
        return None
    needed = max(1, math.ceil(share * total))
    seen, reached = 0, 0
    for bucket, count in counts:
        if seen < needed:
            reached = bucket
        seen += count
    return round(upper_bound_ms(reached), 1)
