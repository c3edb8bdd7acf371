"""Answers of commands: one for each owner, target and key, for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from billing.store.idempotency import StoredAnswer, append_answer, take_answer
from billing.store.store import Store
from tests.billing.store.made_rows import command_answer


def taken(store: Store, *, answer: StoredAnswer) -> StoredAnswer | None:
    with store.write() as connection:
        return take_answer(
            connection,
            owner=answer.owner,
            target=answer.target,
            idempotency_key=answer.idempotency_key,
        )


def test_an_answer_is_found_by_owner_target_and_key_byte_for_byte(store: Store) -> None:
    answer = command_answer()
    assert taken(store, answer=answer) is None
    with store.write() as connection:
        append_answer(connection, answer=answer)
    assert taken(store, answer=answer) == answer
    for other in (
        replace(answer, owner="account:provider"),
        replace(answer, target="GET /v1/keys"),
        replace(answer, idempotency_key="K1"),
        replace(answer, idempotency_key="k1 "),
    ):
        assert taken(store, answer=other) is None


def test_a_key_has_one_answer(store: Store) -> None:
    with store.write() as connection:
        append_answer(connection, answer=command_answer())
    with pytest.raises(IntegrityError), store.write() as connection:
        append_answer(connection, answer=replace(command_answer(), document="[]"))
    assert taken(store, answer=command_answer()) == command_answer()


@pytest.mark.parametrize("status, kept", [(199, False), (200, True), (299, True), (300, False)])
def test_only_the_answers_of_effects_are_kept(store: Store, status: int, kept: bool) -> None:
    answer = replace(command_answer(), status=status)
    if kept:
        with store.write() as connection:
            append_answer(connection, answer=answer)
    else:
        with pytest.raises(IntegrityError, match="status_of_effect"), store.write() as connection:
            append_answer(connection, answer=answer)
    assert (taken(store, answer=answer) is not None) == kept
