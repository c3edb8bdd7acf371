"""Answers of commands, kept by the idempotency key with which they were sent.

Invariant: an answer is appended in the transaction of its effect and kept for ever, so that a key
never has two effects.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from billing.store.locks import lock_name
from billing.store.points import reach
from billing.store.rows import append_record, read_records, select_records
from billing.store.tables import COMMAND_ANSWERS


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """What a command was answered.

    ``owner``: whose key sent it; ``target``: its method and path. ``request_digest``: of what it
    asked for. ``document``: canonical JSON, without secrets.
    """

    owner: str
    target: str
    idempotency_key: str
    request_digest: str
    status: int
    document: str
    answered_at: int


def take_answer(
    connection: Connection, *, owner: str, target: str, idempotency_key: str
) -> StoredAnswer | None:
    """The answer that stands for a key; None where there is none yet.

    Who asks for the same key meanwhile waits until this transaction ends.
    """
    lock_name(connection, name=f"command {owner} {target} {idempotency_key}")
    columns = COMMAND_ANSWERS.c
    query = select_records(StoredAnswer, table=COMMAND_ANSWERS).where(
        columns.owner == owner,
        columns.target == target,
        columns.idempotency_key == idempotency_key,
    )
    return next(iter(read_records(connection, query=query, record=StoredAnswer)), None)


def append_answer(connection: Connection, *, answer: StoredAnswer) -> None:
    """Keep an answer; its key must have none yet."""
    append_record(connection, table=COMMAND_ANSWERS, record=answer)
    reach("command_answer.appended")
