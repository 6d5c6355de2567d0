"""The test ids that the documentation promises are those that the product has."""

from __future__ import annotations

from tests import testids


def test_the_document_lists_the_ids_of_the_product() -> None:
    assert sum(map(len, testids.found().values())) > 100, "they were not found at all"
    assert testids.documented() == testids.table(), (
        "run `python -m tests.testids`, and think of who tests by the old names"
    )
