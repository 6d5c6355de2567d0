"""What the URLs of Valkey mean."""

from __future__ import annotations

import pytest

from novapulse.core.valkey import PREFIX, Place, parse
from worker import keys

_ME = "me:p%40ss"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://host:1/2", Place("server", "redis://host:1/2")),
        ("unix:///run/valkey.sock", Place("server", "unix:///run/valkey.sock")),
        (
            f"redis+sentinel://{_ME}@one:1,two/primary/3?sentinel_username=other&socket_timeout=4",
            Place(
                "sentinel",
                f"redis://{_ME}@one:1/3?socket_timeout=4",
                (("one", 1), ("two", 26379)),
                "primary",
                {"username": "other"},
            ),
        ),
        (
            "rediss+cluster://:secret@one,[::1]:7",
            Place("cluster", "rediss://:secret@one:6379/", (("one", 6379), ("::1", 7))),
        ),
    ],
)
def test_each_kind_is_read(url: str, place: Place) -> None:
    assert parse(url) == place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://host", "schemes"),
        ("redis+sentinel://host", "name that the Sentinels have"),
        ("redis+sentinel://host:port/primary", "no host and port"),
        ("redis+cluster://host/1", "database 0"),
        ("redis+cluster://", "looks like"),
        ("redis+other://host", "looks like"),
    ],
)
def test_what_is_none_is_refused_in_words(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(url)


def test_keys_share_a_slot() -> None:
    made = [keys.WORKERS, keys.SCHEDULER, keys.stream("email"), keys.counters("email"), keys.worker("w")]
    assert all(key.startswith(PREFIX) for key in made)
