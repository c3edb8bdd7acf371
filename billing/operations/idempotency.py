"""Commands that are sent again: one effect and one answer for each idempotency key.

Invariant: the answer of a command with a key is kept in the transaction of its effect; sent again
it is answered the same and does nothing (I15). A command that fails leaves nothing, and its key may
be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from billing.store.idempotency import StoredAnswer, append_answer, take_answer
from billing.store.store import Connection
from pricing_rules.document import DocumentError, JsonValue, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command is answered; ``status`` is a 2xx, ``document`` JSON without floats.

    ``once``: fields of the document that are shown in the first answer alone, such as a secret:
    they are not kept, and null when the command is sent again.
    """

    status: HTTPStatus
    document: Mapping[str, JsonValue]
    once: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that has an idempotency key.

    ``owner``: whose API key sends it; ``target``: its method and path; ``digest``: of what it asks
    for.
    """

    owner: str
    target: str
    idempotency_key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as JSON; ``replayed``: it was given before, and nothing was done now."""

    status: HTTPStatus
    text: bytes
    replayed: bool


class KeyUsedError(DocumentError):
    """The idempotency key was used for another request before."""


def answered(
    connection: Connection, *, command: Command | None, work: Callable[[], Answer], now_at: int
) -> Answered:
    """Do a piece of work in this transaction, or answer as it was answered before.

    ``command``: None where it has no idempotency key; then the work is done each time. KeyUsedError
    where its key was used for something else. What the work raises keeps no answer.
    """
    if command is None:
        return _first(work())
    before = take_answer(
        connection,
        owner=command.owner,
        target=command.target,
        idempotency_key=command.idempotency_key,
    )
    if before is None:
        answer = work()
        append_answer(connection, answer=_kept(answer, command=command, now_at=now_at))
        return _first(answer)
    if before.request_digest != command.digest:
        raise KeyUsedError(
            "Idempotency-Key", "was used for another request before; take a new one for this"
        )
    return Answered(status=HTTPStatus(before.status), text=before.document.encode(), replayed=True)


def _first(answer: Answer) -> Answered:
    text = canonical_json({**answer.document, **answer.once})
    return Answered(status=answer.status, text=text, replayed=False)


def _kept(answer: Answer, *, command: Command, now_at: int) -> StoredAnswer:
    shown = {**answer.document, **dict.fromkeys(answer.once)}
    return StoredAnswer(
        owner=command.owner,
        target=command.target,
        idempotency_key=command.idempotency_key,
        request_digest=command.digest,
        status=answer.status.value,
        document=canonical_json(shown).decode(),
        answered_at=now_at,
    )
