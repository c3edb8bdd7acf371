"""Cursors lead back to their place, and a text that is none leads nowhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.operations.cursor import Moment, Word, cut_page, read_cursor, write_cursor
from pricing_rules.document import DocumentError


class Place(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A place of the tests."""

    at: Moment
    name: Word


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(at=st.integers(0, 2**63 - 1), name=WORDS, question=WORDS)
def test_a_cursor_leads_back_to_its_place(at: int, name: str, question: str) -> None:
    text = write_cursor(Place(at=at, name=name), question=question)
    assert text.isascii()
    assert read_cursor(Place, text=text, question=question) == Place(at=at, name=name)
    with pytest.raises(DocumentError, match="belongs to another question"):
        read_cursor(Place, text=text, question=question + "!")


def test_without_a_cursor_it_is_the_first_page() -> None:
    assert read_cursor(Place, text=None, question="q") is None


@pytest.mark.parametrize(
    "found, rows, ends_at",
    [
        ([], (), None),
        ([1], (1,), None),
        ([1, 2], (1, 2), None),
        ([1, 2, 3], (1, 2), 2),
    ],
)
def test_a_page_has_a_cursor_where_one_more_row_was_found(
    found: list[int], rows: tuple[int, ...], ends_at: int | None
) -> None:
    page = cut_page(found, limit=2, question="q", place=lambda row: Place(at=row, name="x"))
    assert page.rows == rows
    place = read_cursor(Place, text=page.cursor, question="q")
    assert place == (None if ends_at is None else Place(at=ends_at, name="x"))


@given(moments=st.sets(st.integers(0, 99)), limit=st.integers(1, 7))
def test_pages_put_together_are_all_rows_once(moments: set[int], limit: int) -> None:
    told: list[int] = []
    cursor = None
    while True:
        at = read_cursor(Place, text=cursor, question="q")
        found = sorted(one for one in moments if at is None or one > at.at)[: limit + 1]
        page = cut_page(found, limit=limit, question="q", place=lambda row: Place(row, "x"))
        told += page.rows
        if (cursor := page.cursor) is None:
            break
        assert len(page.rows) == limit
    assert told == sorted(moments)


@pytest.mark.parametrize(
    "place",
    [
        [],
        [1],
        [1, 2],
        ["1", "x"],
        [1, "x", 3],
        [-1, "x"],
        [2**63, "x"],
        [1.5, "x"],
        [True, "x"],
        [None, "x"],
        [1, "a\x00"],
        {"at": 1, "name": "x"},
    ],
)
def test_another_place_than_of_its_kind_is_refused(place: Any) -> None:
    text = base64.urlsafe_b64encode(json.dumps(["q", place]).encode()).decode()
    with pytest.raises(DocumentError, match="is not one that we gave"):
        read_cursor(Place, text=text, question="q")


@given(text=st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="cursor: "):
        read_cursor(Place, text=text, question="q")


@pytest.mark.parametrize("raw", [b"[" * 5_000, b"\xff", b"{}", b'["q"]', b'["q",[1,"\\ud800"]]'])
def test_what_is_no_json_of_ours_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentError, match="is not one that we gave"):
        read_cursor(Place, text=base64.urlsafe_b64encode(raw).decode(), question="q")
