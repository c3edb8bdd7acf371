"""The parent of several workers: it keeps them, stops them, and gives up where none comes to serve.

The processes are real, what they do is made up; ``tests/survival/test_workers.py`` has the service.

Invariant: a test ends with no process left.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest

from billing.api import access, workers
from billing.api.workers import (
    COUNTED,
    RESERVED_BYTES,
    STEADY_S,
    Work,
    _Keeper,
    _Kept,
    _reserve,
    count_in,
    keep_workers,
)
from billing.settings import Settings
from billing.store.store import Store
from pricing_rules.document import DocumentError
from tests.billing.api import made_workers
from tests.billing.api.made_service import served
from tests.billing.api.test_keys import Clock

Log = list[MutableMapping[str, Any]]
Step = tuple[Callable[[], bool], Callable[[], None]]

WAIT_S = 180.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """An address that workers listen on; at the end nobody does, and nobody is left."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made
        assert made.fileno() == -1
    assert multiprocessing.active_children() == []


def told(number: int) -> Callable[[], None]:
    """Send the parent a signal."""
    return lambda: os.kill(os.getpid(), number)


def noted(log: Log, event: str) -> Log:
    """The lines of the log of one kind."""
    return [one for one in log if one["event"] == event]


def serving(log: Log, *, times: int) -> Callable[[], bool]:
    """Whether so many have come to serve, over all time."""
    return lambda: len(noted(log, "worker_serves")) >= times


def kept(work: Work, *, listener: socket.socket, steps: Sequence[Step]) -> None:
    """Keep two workers, and do each step when its condition holds."""

    def do_steps() -> None:
        for condition, do in steps:
            ends_s = time.monotonic() + WAIT_S
            while not condition() and time.monotonic() < ends_s:
                time.sleep(0.005)
            do()

    doing = threading.Thread(target=do_steps)
    doing.start()
    try:
        keep_workers(2, listener=listener, work=work)
    finally:
        doing.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_stops_its_workers(
    listener: socket.socket, log: Log, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    kept(made_workers.serve, listener=listener, steps=[(serving(log, times=2), told(number))])
    assert {one["number"] for one in noted(log, "worker_serves")} == {1, 2}
    assert noted(log, "worker_ended") == []
    assert signal.getsignal(number) == before


def test_a_worker_that_is_killed_is_followed_by_another(listener: socket.socket, log: Log) -> None:
    def kill_the_second() -> None:
        (pid,) = [one["worker"] for one in noted(log, "worker_serves") if one["number"] == 2]
        os.kill(pid, signal.SIGKILL)

    steps: list[Step] = [
        (serving(log, times=2), kill_the_second),
        (serving(log, times=3), told(signal.SIGTERM)),
    ]
    kept(made_workers.serve, listener=listener, steps=steps)
    (ended,) = noted(log, "worker_ended")
    assert (ended["number"], ended["reason"]) == (2, "ended by signal 9")
    again = noted(log, "worker_serves")[2]
    assert (again["number"], again["worker"] != ended["worker"]) == (2, True)


@pytest.mark.parametrize("work", [made_workers.refuse, made_workers.break_down])
def test_it_gives_up_where_no_worker_comes_to_serve(
    listener: socket.socket, log: Log, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    monkeypatch.setattr(workers, "STARTS", 3)
    with pytest.raises(DocumentError) as raised:
        kept(work, listener=listener, steps=[])
    assert len(noted(log, "worker_not_started")) == 3
    assert str(raised.value).startswith("--workers: no worker comes to serve: 3 in a row failed, ")
    assert "the last ended with exit code 2; mend what the log says" in str(raised.value)


def test_while_one_serves_it_never_gives_up(
    listener: socket.socket, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STARTS", 2)
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.01)

    def often() -> bool:
        return len(noted(log, "worker_not_started")) >= 3

    kept(
        made_workers.refuse_the_second,
        listener=listener,
        steps=[(serving(log, times=1), lambda: None), (often, told(signal.SIGTERM))],
    )
    assert {one["number"] for one in noted(log, "worker_not_started")} == {2}


def test_a_process_that_the_system_does_not_give_is_tried_again(
    listener: socket.socket, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = SpawnProcess.start
    refused = [OSError(12, "Cannot allocate memory")]

    def start_later(process: SpawnProcess) -> None:
        if refused:
            raise refused.pop()
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", start_later)
    steps = [(serving(log, times=2), told(signal.SIGTERM))]
    kept(made_workers.serve, listener=listener, steps=steps)
    (failed,) = noted(log, "worker_not_started")
    assert failed["reason"] == "cannot be started (cannot allocate memory)"


def test_a_worker_for_which_no_file_is_left_is_tried_again(
    listener: socket.socket, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = workers._spawn.Pipe
    refused = [OSError(23, "Too many open files in system")]

    def pipe_later(duplex: bool = True) -> Any:
        if duplex and refused:
            raise refused.pop()
        return pipe(duplex)

    monkeypatch.setattr(workers._spawn, "Pipe", pipe_later)
    steps = [(serving(log, times=2), told(signal.SIGTERM))]
    kept(made_workers.serve, listener=listener, steps=steps)
    (failed,) = noted(log, "worker_not_started")
    assert failed["reason"] == "cannot be started (too many open files in system)"


COUNT_ALL = """
import sys
from pathlib import Path
from billing.api.access import SCOPES
from billing.api.metrics import Metrics
from billing.api.webhook_metrics import WebhookMetrics
from billing.api.workers import count_in

count_in(Path(sys.argv[1]), worker=1)
metrics = Metrics(counters=Path(sys.argv[1]))
WebhookMetrics(metrics.registry)
sys.stdout.write(" ".join(sorted(one.name for one in Path(sys.argv[1]).iterdir())))
for method, path in SCOPES:
    for status in range(400, 420):
        metrics.answered(method=method, route=path, status=status, seconds=0.1)
"""


def test_all_that_a_worker_may_count_has_its_room_before_it_serves(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", COUNT_ALL, tmp_path], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    assert said.split() == sorted(f"{name}_1.db" for name in COUNTED)
    for file in tmp_path.iterdir():
        found = file.stat()  # none grew, and none has holes
        assert (found.st_size, found.st_blocks * 512 >= RESERVED_BYTES) == (RESERVED_BYTES, True)


def test_a_folder_that_is_gone_or_full_is_said_and_nothing_is_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(DocumentError, match=r"gone: cannot hold what workers count \(no such file"):
        count_in(tmp_path / "gone", worker=1)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(
        DocumentError, match=r"\(no space left on device\); make room there, or set"
    ):
        count_in(tmp_path, worker=1)
    assert list(tmp_path.iterdir()) == []


def test_what_the_worker_before_counted_stays(tmp_path: Path) -> None:
    for name in COUNTED:
        (tmp_path / f"{name}_1.db").write_bytes(b"counted")
    for name in COUNTED:
        _reserve(tmp_path / f"{name}_1.db")
        assert (tmp_path / f"{name}_1.db").read_bytes() == b"counted"


def test_a_worker_that_ends_badly_while_it_stops_is_said(listener: socket.socket, log: Log) -> None:
    steps = [(serving(log, times=2), told(signal.SIGTERM))]
    with pytest.raises(DocumentError, match=r"--workers: worker \d+ ended with exit code 3 before"):
        kept(made_workers.end_badly, listener=listener, steps=steps)


def test_told_to_stop_it_starts_none_and_told_twice_from_the_keyboard_it_waits_for_none(
    listener: socket.socket, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE_S", 0.0)

    def second_is_gone() -> bool:
        (pid,) = [one["worker"] for one in noted(log, "worker_serves") if one["number"] == 2]
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return listener.fileno() == -1
        return False

    steps: list[Step] = [
        (serving(log, times=2), told(signal.SIGINT)),
        (second_is_gone, told(signal.SIGINT)),  # the first holds on
    ]
    kept(made_workers.hold_on, listener=listener, steps=steps)
    assert len(noted(log, "worker_serves")) == 2


def test_one_that_comes_to_serve_ends_the_row_of_those_that_failed(
    listener: socket.socket, tmp_path: Path
) -> None:
    line, other = multiprocessing.Pipe()
    one = _Kept(number=1, line=line)
    keeper = _Keeper(
        kept=[one],
        listener=listener,
        work=made_workers.serve,
        counters=tmp_path,
        signals=line,
        failed=4,
    )
    other.send_bytes(b"serving")
    keeper._said(one, line=line)
    assert (one.serving, keeper.failed) == (True, 0)
    other.close()
    keeper._said(one, line=line)  # it is ending
    assert (one.line, line.closed) == (None, True)
    listener.close()


@pytest.mark.parametrize(
    "served_s, pause_s",
    [(STEADY_S - 0.001, 0.25), (STEADY_S, 0.0), (STEADY_S + 0.001, 0.0)],
    ids=["below", "at", "above"],
)
def test_one_that_served_for_long_is_followed_at_once(served_s: float, pause_s: float) -> None:
    one = _Kept(number=1, serving=True, began_s=0.0)
    one.ended(now_s=served_s)
    assert one.next_s == served_s + pause_s


def test_pauses_double_up_to_a_bound_and_start_anew_after_a_long_one() -> None:
    one = _Kept(number=1)
    pauses = []
    for _ in range(2_000):
        one.began_s, one.serving = one.next_s, True
        one.ended(now_s=one.began_s)
        pauses.append(one.next_s - one.began_s)
    assert pauses[:8] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert set(pauses[8:]) == {15.0}
    one.began_s, one.serving = 0.0, True
    one.ended(now_s=STEADY_S)
    one.began_s, one.serving = one.next_s, True
    one.ended(now_s=one.began_s)
    assert one.next_s == STEADY_S + 0.25


def test_one_that_never_served_was_not_there_for_long() -> None:
    one = _Kept(number=1, began_s=0.0)
    one.ended(now_s=STEADY_S)  # it hung at its start
    assert one.next_s == STEADY_S + 0.25


def test_each_worker_grants_its_share_of_a_limit_rounded_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(access, "time", clock)
    settings = Settings(requests_per_s=10, waiting_events=100)
    with served(store, settings=settings, workers=3) as made:
        asked = {"scope": "operator", "name": "few", "requests_per_s": 6}
        few = made.command("/v1/keys", asked).json()["key"]
        clock.now_s += 10

        def statuses(key: str | None, count: int) -> list[int]:
            return [made.get("/v1/keys", key=key).status_code for _ in range(count)]

        assert statuses(None, 5) == [200] * 4 + [429]  # 10 / 3 is 3.3
        assert statuses(few, 3) == [200] * 2 + [429]  # 6 / 3 is 2
        detail = made.get("/v1/keys", key=few).json()["detail"]
        assert "may send 2 requests a second to each of 3 workers; wait" in detail
        assert made.service.writer.waiting_events == 34
