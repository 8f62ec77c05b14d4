"""Judges a page of a list: whether more pages may follow, and whether the server repeats pages."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

Rest: TypeAlias = Literal["unknown", "some", "none"]
"""Whether more items follow, according to the server's count."""


class PageVerdict(Enum):
    """Verdict on a page. If the server ignores `offset` it is an error, and its value says why."""

    MORE = "more may follow"
    END = "the list ends here"
    SHIFTED = "items were inserted before these, so new ones may follow"
    TOTAL_NOT_REACHED = "although it says that there are {total} items"
    FULL_PAGE = "that is full, so there may be more items"
    SECOND_TIME = "again and again"

    @property
    def is_error(self) -> bool:
        """Whether the list cannot be completed."""
        return self in _ERRORS


_ERRORS = frozenset({PageVerdict.TOTAL_NOT_REACHED, PageVerdict.FULL_PAGE, PageVerdict.SECOND_TIME})


def judge_new_page(rest: Rest, *, is_whole_list: bool) -> PageVerdict:
    """Judge a page with items that were not there before.

    Args:
        rest: Whether more items follow the page, according to the count.
        is_whole_list: Whether the server does not support pages, so that a list without a count is complete.
    """
    ends = rest == "none" or (rest == "unknown" and is_whole_list)
    return PageVerdict.END if ends else PageVerdict.MORE


def judge_repeated_page(rest: Rest, *, moved: bool, after_shifted: bool, is_full: bool) -> PageVerdict:
    """Judge a page whose items were all there before.

    Args:
        rest: Whether more unseen items exist, according to the count.
        moved: Whether the items or their order differ from the previous page.
        after_shifted: The previous page was judged SHIFTED. A second such page in a row does not mean new items.
        is_full: Whether it has as many items as requested.
    """
    match rest, moved, after_shifted, is_full:
        case "some", _, _, _:
            return PageVerdict.TOTAL_NOT_REACHED
        case "unknown", True, False, _:
            return PageVerdict.SHIFTED
        case "unknown", _, _, True:
            return PageVerdict.FULL_PAGE
        case _, _, True, _:
            return PageVerdict.SECOND_TIME
        case _:
            return PageVerdict.END
