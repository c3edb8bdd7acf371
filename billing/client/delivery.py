"""One delivery: a batch of events to the service, and what it answers for each of them.

Invariant: an answer counts only where it names every event of the batch in order; anything else
leaves the batch as unsettled as no answer at all.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    import urllib3

CONNECT_TIMEOUT_S = 5.0
LONGEST_ASKED_S = 3600.0
"""A service that asks for a longer wait is asked again after this."""

_ANSWER_BYTES = 64 * 2**20
_OURS = "urn:tokenworks:problem:"
_UNFIT = {400, 409, 422}
_LATER = {408, 425, 429}


class EventAnswer(msgspec.Struct, kw_only=True):
    """What the service says of one event."""

    verdict: Literal["accepted", "duplicate", "conflict", "rejected"]
    source: str = ""
    id: str = ""
    pointer: str = ""
    reason: str = ""


class _Answer(msgspec.Struct, kw_only=True):
    """A result, or a problem: of all events, or of none."""

    events: list[EventAnswer] | None = None
    type: str = ""
    detail: str = ""


class _Identity(msgspec.Struct):
    source: str
    id: str


_read_answer = msgspec.json.Decoder(_Answer).decode
_read_identity = msgspec.json.Decoder(_Identity).decode


class TryLaterError(Exception):
    """Nothing is known of the batch: the same may succeed later. ``asked_s``: how much later."""

    def __init__(self, sentence: str, *, asked_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.asked_s = asked_s


class SetUpError(Exception):
    """The service will take nothing until a person mends an address, a key or a proxy."""


class UnfitBatchError(Exception):
    """The service refused the body as a whole, without a word on each event."""


class TooLargeError(UnfitBatchError):
    """The body has too many bytes, or too many events."""


class Delivery:
    """Deliveries to one service. ``url``: its address, without ``/v1/events``.

    ``answer_timeout_s``: how long an answer may take. ValueError where the address is none.
    """

    def __init__(self, *, url: str, key: str, answer_timeout_s: float) -> None:
        if not _is_address(url):
            raise ValueError(
                "url: must be such as https://billing.example, in plain ASCII, without a login, a "
                "query or a fragment"
            )
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("key: is not an API key such as tw_...; make one with tokenworks key")
        self.address = f"{url.rstrip('/')}/v1/events"
        self.answer_timeout_s = answer_timeout_s
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/x-ndjson",
            "content-encoding": "gzip",
        }
        self._pool: urllib3.PoolManager | None = None

    def post(self, texts: Sequence[bytes]) -> Sequence[EventAnswer]:
        """Send events, each JSON on one line, and return what became of each.

        TryLaterError, SetUpError, UnfitBatchError or TooLargeError where nobody says that.
        """
        status, headers, body = self._asked(gzip.compress(b"\n".join(texts), 1))
        try:
            answer = _read_answer(body)
        except (ValueError, RecursionError):
            answer = _Answer()
        answers = answer.events
        if status in (200, 207, 400, 409) and answers is not None and _names(answers, texts=texts):
            return answers
        said = f"{self.address} answered {status}: {answer.detail or 'nothing that we know':.500}"
        if status == 413:
            raise TooLargeError(said)
        if status in _UNFIT and answer.type.startswith(_OURS):
            raise UnfitBatchError(said)
        if status < 300 or status in _LATER or status >= 500:
            raise TryLaterError(said, asked_s=_asked_s(headers.get("retry-after", "")))
        raise SetUpError(said)

    def after_fork_in_child(self) -> None:
        """Let the connections be those of the parent alone."""
        self._pool = None

    def _asked(self, body: bytes) -> tuple[int, urllib3.HTTPHeaderDict, bytes]:
        # Imported now: a gateway starts without it.
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(maxsize=1)
        deadline_s = time.monotonic() + self.answer_timeout_s
        try:
            response = self._pool.request(
                "POST",
                self.address,
                body=body,
                headers=self._headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=self.answer_timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with closing(response):
                parts, size = [], 0
                # Not stream: that waits for so many bytes, however slowly they come.
                while part := response.read1(65_536):
                    parts.append(part)
                    size += len(part)
                    if size > _ANSWER_BYTES or time.monotonic() > deadline_s:
                        raise TryLaterError(f"{self.address}: its answer does not end")
                response.release_conn()
                return response.status, response.headers, b"".join(parts)
        except urllib3.exceptions.HTTPError as error:
            said = " ".join(str(error).split())
            raise TryLaterError(f"{self.address}: no answer ({said:.200})") from error


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port, or an address in brackets, that is none
        return False
    return bool(known) and url.isascii() and url.isprintable() and not set(url) & set(" ?#@\\")


def _names(answers: Sequence[EventAnswer], *, texts: Sequence[bytes]) -> bool:
    """Whether the answers are those of these events; a rejected one may be without its name."""
    if len(answers) != len(texts):
        return False
    for answer, text in zip(answers, texts, strict=True):
        if answer.verdict == "rejected" and not answer.id:
            continue
        sent = _read_identity(text)
        if (answer.source, answer.id) != (sent.source, sent.id):
            return False
    return True


def _asked_s(text: str) -> float:
    """The seconds of a Retry-After header: a number of them, or a date; 0 where it says nothing."""
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_ASKED_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait_s = (moment - datetime.now(UTC)).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_ASKED_S)
