"""Names for nameless schedules."""

from __future__ import annotations

import re

from weft.core.titles import COUNT, two_words


def test_a_name_is_two_plain_words() -> None:
    for a in range(200):
        assert re.fullmatch("[a-z]+ [a-z]+", two_words(a, 3 * a))


def test_the_same_numbers_give_the_same_name_however_large() -> None:
    a, b = 2**127 - 1, 3**80
    assert two_words(a, b) == two_words(a, b)
    assert two_words(-1, -1) != two_words(0, 0)


def test_there_are_thousands_of_names_all_different() -> None:
    names = {two_words(a, b) for a in range(300) for b in range(300)}
    assert len(names) == COUNT >= 60 * 60
