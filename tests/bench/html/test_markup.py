"""bench/html/markup.py: nothing that comes from outside becomes markup, and whatever comes out can be parsed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.html import words
from bench.html.markup import Markup, coordinate, escaped, joined, tag


def test_text_is_escaped_once_and_markup_never() -> None:
    inner = tag("b", "<&>")
    assert inner == "<b>&lt;&amp;&gt;</b>"
    assert tag("i", inner, " & ") == "<i><b>&lt;&amp;&gt;</b> &amp; </i>"
    assert joined([inner, "<"]) == f"{inner}&lt;"


def test_attributes_are_escaped_renamed_and_left_out() -> None:
    assert tag("a", class_='x" onload="y', aria_label="z", href=None) == (
        '<a class="x&quot; onload=&quot;y" aria-label="z"></a>'
    )


@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_any_text_survives_a_parser(text: str) -> None:
    whole = tag("p", text, title=text)
    assert whole.encode()
    found = ET.fromstring(whole)
    assert len(found) == 0
    assert set(found.attrib) == {"title"}


@pytest.mark.parametrize("unfit", ["\x00", "\x1b", "\ud800", "\ufffe", "\u202e", "\u2066"])
def test_what_cannot_be_shown_is_replaced(unfit: str) -> None:
    assert escaped(f"a{unfit}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-0.04, "0"), (1.0, "1"), (1.26, "1.3"), (-3.14, "-3.1")]
)
def test_coordinates_are_short(value: float, text: str) -> None:
    assert coordinate(value) == text


def test_markup_of_markup_is_the_same_object() -> None:
    whole = Markup("<b>")
    assert escaped(whole) is whole


def test_lines_break_neither_before_a_per_cent_sign_nor_inside_an_interval() -> None:
    told = words.tied("7 % more (95 % interval 4-10 %, by-hand)")
    assert told == "7\xa0% more (95\xa0% interval 4\u201110\xa0%, by-hand)"
