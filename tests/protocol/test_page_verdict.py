"""The whole table of what follows from a page, row by row."""

from __future__ import annotations

from itertools import product

import pytest

from enapter_async._protocol.page_verdict import PageVerdict, Rest, judge_new_page, judge_repeated_page

TOTAL_NOT_REACHED, FULL_PAGE = PageVerdict.TOTAL_NOT_REACHED, PageVerdict.FULL_PAGE
MORE, END, SHIFTED, SECOND_TIME = PageVerdict.MORE, PageVerdict.END, PageVerdict.SHIFTED, PageVerdict.SECOND_TIME

NEW: dict[tuple[Rest, bool], PageVerdict] = {
    # rest, is_whole_list
    ("some", False): MORE,
    ("some", True): MORE,
    ("none", False): END,
    ("none", True): END,
    ("unknown", False): MORE,
    ("unknown", True): END,
}
REPEATED: dict[tuple[Rest, bool, bool, bool], PageVerdict] = {
    # rest, moved, after_shifted, is_full
    ("some", False, False, False): TOTAL_NOT_REACHED,
    ("some", False, False, True): TOTAL_NOT_REACHED,
    ("some", False, True, False): TOTAL_NOT_REACHED,
    ("some", False, True, True): TOTAL_NOT_REACHED,
    ("some", True, False, False): TOTAL_NOT_REACHED,
    ("some", True, False, True): TOTAL_NOT_REACHED,
    ("some", True, True, False): TOTAL_NOT_REACHED,
    ("some", True, True, True): TOTAL_NOT_REACHED,
    ("none", False, False, False): END,
    ("none", False, False, True): END,
    ("none", False, True, False): SECOND_TIME,
    ("none", False, True, True): SECOND_TIME,
    ("none", True, False, False): END,
    ("none", True, False, True): END,
    ("none", True, True, False): SECOND_TIME,
    ("none", True, True, True): SECOND_TIME,
    ("unknown", False, False, False): END,
    ("unknown", False, False, True): FULL_PAGE,
    ("unknown", False, True, False): SECOND_TIME,
    ("unknown", False, True, True): FULL_PAGE,
    ("unknown", True, False, False): SHIFTED,
    ("unknown", True, False, True): SHIFTED,
    ("unknown", True, True, False): SECOND_TIME,
    ("unknown", True, True, True): FULL_PAGE,
}


def test_the_tables_leave_nothing_out() -> None:
    assert len(NEW) == 3 * 2
    assert set(REPEATED) == set(product(("some", "none", "unknown"), *[(False, True)] * 3))


@pytest.mark.parametrize(("rest", "is_whole_list"), NEW)
def test_a_page_with_new_items(rest: Rest, is_whole_list: bool) -> None:
    assert judge_new_page(rest, is_whole_list=is_whole_list) is NEW[rest, is_whole_list]


@pytest.mark.parametrize(("rest", "moved", "after_shifted", "is_full"), REPEATED)
def test_a_page_whose_items_were_all_there_before(rest: Rest, moved: bool, after_shifted: bool, is_full: bool) -> None:
    verdict = judge_repeated_page(rest, moved=moved, after_shifted=after_shifted, is_full=is_full)
    assert verdict is REPEATED[rest, moved, after_shifted, is_full]


def test_only_a_server_that_repeats_itself_is_an_error() -> None:
    assert {verdict for verdict in PageVerdict if verdict.is_error} == {TOTAL_NOT_REACHED, FULL_PAGE, SECOND_TIME}
