"""What the lists of all features have in common: filters in the URL, one page of rows, the ways to the other pages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import reflex as rx

from novapulse.ui.urls import chosen, with_query

TEXT_MAX = 200


class Listing(rx.State, mixin=True):
    """A list; the state of a page builds on it, and gives `filters` the names that there are."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    filters: dict[str, str] = {}  # noqa: RUF012 - '': any
    cursor: str = ""
    first_href: str = ""  # '': this is the first page
    next_href: str = ""  # '': this is the last one
    loaded: bool = False
    problem: str = ""

    @rx.var
    def filtered(self) -> bool:
        """Whether not all rows are meant."""
        return any(self.filters.values())

    def _of_url(self, *typed: str, **picked: Collection[str]) -> Mapping[str, str]:
        """Take the filters from the URL: what was typed, and what was picked of a few; all that the URL says."""
        query = self.router.url.query_parameters
        self.filters = {name: str(query.get(name, ""))[:TEXT_MAX] for name in typed} | {
            name: chosen(query, name, allowed) for name, allowed in picked.items()
        }
        self.cursor = str(query.get("cursor", ""))[:TEXT_MAX]
        return query

    def _wanted(self) -> dict[str, Any]:
        """The filters as services take them: None stands for any."""
        return {name: text or None for name, text in self.filters.items()}

    def _filter(self, name: str, value: str, **cleared: str) -> Any:
        """Change a filter, by going to the URL that has it; `cleared` parameters go."""
        if name not in self.filters:
            return None
        changes = cleared | {"cursor": "", name: "" if value == "all" else str(value)}
        return rx.redirect(with_query(self.router.url, **changes))

    def _show(self, rows: list[dict[str, Any]], following: str | None, **cleared: str) -> None:
        """Show a page, which `following` is the cursor after."""
        self.rows, self.problem, self.loaded = rows, "", True
        self.first_href = with_query(self.router.url, **cleared, cursor="") if self.cursor else ""
        self.next_href = with_query(self.router.url, **cleared, cursor=following) if following else ""


class Selecting(Listing, mixin=True):
    """A list whose rows can be selected."""

    selected: list[str] = []  # noqa: RUF012 - ids

    @rx.var
    def all_selected(self) -> bool:
        """Whether every row of the page is selected."""
        return len(self.selected) == len(self.rows) > 0

    def _keep(self, marked: set[str]) -> None:
        """Select these, as far as they are on the page."""
        self.selected = [row["id"] for row in self.rows if row["id"] in marked]
