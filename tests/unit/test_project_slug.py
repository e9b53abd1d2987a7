"""Names become uuids by the rule that Mage's clients know."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.core.slug import slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("My Pipe", "my_pipe"),
        ("9 lives", "letter_9_lives"),
        ("x  y", "x__y"),
        ('\ufeffa"b$c\r\n\td', "abcd"),
        ("Größe/Länge", "größe_länge"),
        ("a-b.c", "a_b_c"),
        ('"', ""),
    ],
)
def test_a_name_becomes_a_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_block_keeps_its_folders() -> None:
    assert slug("Sales/Load Orders", nested=True) == "sales/load_orders"


@given(st.text('abzABZ019 _-./"$\t\n\ufeff'))
def test_a_slug_is_a_word_and_is_its_own_slug(name: str) -> None:
    made = slug(name)

    assert re.fullmatch(r"(?:[a-z_][a-z0-9_]*)?", made)
    assert slug(made) == made
