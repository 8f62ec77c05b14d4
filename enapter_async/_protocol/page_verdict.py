"""Judges a page of a list: whether more pages may follow, and whether the server repeats pages."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

Rest: TypeAlias = Literal["unknown", "some", "none"]
"""What the server's count of items says about the rest of the list."""


class PageVerdict(Enum):
    """Verdict on a page. If the server ignores `offset` it is an error, and its value says why."""

    MORE = "more may follow"
    END = "the list ends here"
    SHIFTED = "others have come in before these items, so what follows may be new"
    TOTAL_NOT_REACHED = "although it says that there are {total} items"
    FULL_PAGE = "of as many items as were asked for: there may be more"
    SECOND_TIME = "after page"

    @property
    def is_error(self) -> bool:
        """Whether the list cannot be completed."""
        return self in _ERRORS


_ERRORS = frozenset({PageVerdict.TOTAL_NOT_REACHED, PageVerdict.FULL_PAGE, PageVerdict.SECOND_TIME})


def judge_new_page(rest: Rest, *, is_whole_list: bool) -> PageVerdict:
    """Judge a page with items that were not there before.

    Args:
        rest: Whether more items follow the page, according to the count.
        is_whole_list: The server knows no pages: where it counts nothing, it has given everything.
    """
    ends = rest == "none" or (rest == "unknown" and is_whole_list)
    return PageVerdict.END if ends else PageVerdict.MORE


def judge_repeated_page(rest: Rest, *, moved: bool, after_shifted: bool, is_full: bool) -> PageVerdict:
    """Judge a page whose items were all there before.

    Args:
        rest: Whether more unseen items exist, according to the count.
        moved: They are not those of the page before, or not in that order.
        after_shifted: The previous page was judged SHIFTED. A second such page in a row does not mean new items.
        is_full: It has as many items as were asked for.
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
