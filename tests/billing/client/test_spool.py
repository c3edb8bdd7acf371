"""The spool: what is in it is on the disk, once, whoever uses it at the same time.

Invariant: a process that forks, is killed or shares the file is a real one.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.client.spool import Refusal, Spool, SpoolError, SpoolFullError
from tests.billing.client.made_network import made_service
from tests.billing.operations.made_ingest import made_store
from tests.house.tree import REPOSITORY


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.db", max_events=1_000)
    yield made
    made.close()


def texts(spool: Spool) -> list[bytes]:
    """What waits, in order."""
    last = spool.last_seq()
    return [
        one.text for one in spool.next_batch(through_seq=last, max_events=9_999, max_bytes=9**9)
    ]


def run_child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_was_appended_is_there_when_the_file_is_opened_anew(tmp_path: Path) -> None:
    for number in range(3):
        opened = Spool(tmp_path / "spool.db", max_events=10)
        opened.append(b"%d" % number, recorded_at=number)
        opened.close()
    found = Spool(tmp_path / "spool.db", max_events=10)
    assert texts(found) == [b"0", b"1", b"2"]
    assert (found.counts(), found.oldest_recorded_at()) == ((3, 0), 0)
    found.close()


def test_a_batch_ends_at_its_events_its_bytes_or_the_event_asked_for(spool: Spool) -> None:
    for number in range(6):
        spool.append(b"%03d" % number, recorded_at=0)

    def batch(through: int = 99, events: int = 99, size: int = 99) -> int:
        return len(spool.next_batch(through_seq=through, max_events=events, max_bytes=size))

    assert (batch(events=4), batch(events=5), batch(through=2)) == (4, 5, 2)
    # Each event has 3 bytes and the end of its line: 8 are two, 11 are not three, 12 are.
    assert [batch(size=size) for size in (7, 8, 11, 12)] == [1, 2, 2, 3]
    assert batch(size=1) == 1  # one at least, or it would block the others
    assert batch(through=0) == 0


def test_what_is_settled_is_gone_or_set_aside_with_its_reason(spool: Spool) -> None:
    for number in range(4):
        spool.append(b"%d" % number, recorded_at=number)
    batch = spool.next_batch(through_seq=99, max_events=3, max_bytes=99)
    unfit = Refusal(seq=batch[1].seq, verdict="rejected", pointer="/time", reason="too late")
    spool.settle(stored=[batch[0].seq, batch[2].seq], refused=[unfit], settled_at=7)
    assert (texts(spool), spool.counts()) == ([b"3"], (1, 1))
    (refused,) = spool.refused()
    assert (refused.text, refused.recorded_at, refused.refused_at) == (b"1", 1, 7)
    assert (refused.verdict, refused.pointer, refused.reason) == ("rejected", "/time", "too late")
    assert spool.retry_refused() == 1
    assert (texts(spool), spool.refused(), spool.counts()) == ([b"3", b"1"], (), (2, 0))
    assert spool.oldest_recorded_at() == 3


def test_a_full_spool_says_so_and_takes_events_again_when_there_is_room(tmp_path: Path) -> None:
    full = Spool(tmp_path / "spool.db", max_events=3)
    for number in range(3):
        full.append(b"%d" % number, recorded_at=0)
    with pytest.raises(SpoolFullError, match=r"spool\.db: holds 3 events, as many as it may"):
        full.append(b"3", recorded_at=0)
    # Set aside is not gone: a refused event takes room until someone looks at it.
    first, *_ = full.next_batch(through_seq=9, max_events=1, max_bytes=9)
    aside = Refusal(seq=first.seq, verdict="conflict", pointer="", reason="no")
    full.settle(stored=[], refused=[aside], settled_at=0)
    with pytest.raises(SpoolFullError):
        full.append(b"3", recorded_at=0)
    second, *_ = full.next_batch(through_seq=9, max_events=1, max_bytes=9)
    full.settle(stored=[second.seq], refused=[], settled_at=0)
    full.append(b"3", recorded_at=0)
    assert (texts(full), full.appended) == ([b"2", b"3"], 4)
    full.close()


def test_threads_share_transactions_and_each_has_its_own_outcome(tmp_path: Path) -> None:
    # 8 threads of 50 want 400 on the disk and 300 fit: 100 are refused, each to who wanted it.
    spool = Spool(tmp_path / "spool.db", max_events=300)
    stored: list[bytes] = []
    refused: list[bytes] = []

    def work(worker: int) -> None:
        for number in range(50):
            text = b"%d-%d" % (worker, number)
            try:
                spool.append(text, recorded_at=0)
                stored.append(text)
            except SpoolFullError:
                refused.append(text)

    threads = [threading.Thread(target=work, args=(one,)) for one in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(stored), len(refused), spool.appended) == (300, 100, 300)
    assert sorted(texts(spool)) == sorted(stored)
    spool.close()


SHARING = """
import sys
from pathlib import Path
from billing.client.spool import Spool
spool = Spool(Path(sys.argv[1]), max_events=9999)
for number in range(50):
    spool.append(f"{sys.argv[2]}-{number}".encode(), recorded_at=0)
"""


def test_processes_that_open_a_new_spool_at_once_share_it(tmp_path: Path) -> None:
    file = tmp_path / "spool.db"
    commands = [[sys.executable, "-c", SHARING, str(file), str(n)] for n in range(4)]
    children = [subprocess.Popen(one, cwd=REPOSITORY) for one in commands]
    assert [one.wait(60) for one in children] == [0] * 4
    found = Spool(file, max_events=9_999)
    assert sorted(texts(found)) == sorted(b"%d-%d" % (n, m) for n in range(4) for m in range(50))
    found.close()


def test_one_of_those_that_share_a_spool_sends_and_the_next_when_it_is_gone(spool: Spool) -> None:
    other = Spool(spool.file, max_events=10)
    assert [one.may_send() for one in (spool, spool, other)] == [True, True, False]
    spool.close()
    assert other.may_send()
    other.close()
    assert not other.may_send()


def test_a_process_that_is_killed_leaves_the_right_to_send(spool: Spool) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from billing.client.spool import Spool; "
        "assert Spool(Path(sys.argv[1]), max_events=9).may_send(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert run_child(code, spool.file).returncode == -signal.SIGKILL
    assert spool.may_send()


FORKING = """
import os, sys
from pathlib import Path
from billing.client import UsageClient
client = UsageClient(url="http://127.0.0.1:9", key="k", spool=Path(sys.argv[1]), source="gw")
def record(name):
    client.record(account="a", model="m", service_tier="s", units={"input_tokens": 1}, id=name)
record("before")
assert client._spool.may_send()
child = os.fork()
record(f"{'parent' if child else 'child'}-after")
if child:
    assert os.waitpid(child, 0)[1] == 0
    record("parent-later")
    assert client._spool.may_send()
else:
    assert not client._spool.may_send()  # it is the right of the parent, which lives
    assert client._sender._runs()
    os._exit(0)
print(client.pending())
client.close(timeout_s=0)
"""


def test_a_client_works_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    file = tmp_path / "spool.db"
    ran = run_child(FORKING, file)
    assert (ran.returncode, ran.stdout) == (0, "4\n"), ran.stderr
    found = Spool(file, max_events=9)
    ids = [json.loads(one)["id"] for one in texts(found)]
    assert sorted(ids) == ["before", "child-after", "parent-after", "parent-later"]
    found.close()


HEIR = """
import os, sys
from pathlib import Path
from billing.client import UsageClient
client = UsageClient(
    url=sys.argv[2], key="k", spool=Path(sys.argv[1]), source="gw", linger_s=0.02
)
def record(name):
    client.record(account="a", model="m", service_tier="s", units={"input_tokens": 1}, id=name)
    assert client.flush(timeout_s=30)
record("parent")
reading, writing = os.pipe()
child = os.fork()
if child:
    client.close()
    os.write(writing, b".")
    assert os.waitpid(child, 0)[1] == 0
else:
    os.read(reading, 1)  # until the right to send is nobody's
    record("child")
    os._exit(0)
"""


def test_after_a_fork_no_connection_is_shared(tmp_path: Path) -> None:
    with made_service() as service:
        ran = run_child(HEIR, tmp_path / "spool.db", service.url)
    assert ran.returncode == 0, ran.stderr
    assert sorted(name for _, name in service.stored) == ["child", "parent"]
    assert len(service.callers) == 2


def test_a_disk_that_takes_no_more_is_said_and_what_was_appended_is_there(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from billing.client.spool import Spool, SpoolError
spool = Spool(Path(sys.argv[1]), max_events=9999)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for number in range(9999):
    try:
        spool.append(b"x" * 2000, recorded_at=number)
    except SpoolError as error:
        print(number, error)
        assert spool._opened is None  # to be opened anew and checked before it confirms again
        break
"""
    file = tmp_path / "spool.db"
    ran = run_child(code, file)
    count, _, said = ran.stdout.partition(" ")
    assert "the disk failed while it was read or written; check the disk" in said, ran.stderr
    assert ran.returncode == 0, ran.stderr
    found = Spool(file, max_events=9_999)
    # The one that failed may be there or not; each before it is.
    assert found.counts()[0] in (int(count), int(count) + 1)
    found.append(b"more", recorded_at=0)
    found.close()


def test_after_a_fault_of_the_disk_nothing_is_confirmed_until_the_file_was_checked(
    tmp_path: Path,
) -> None:
    file = tmp_path / "spool.db"
    made = Spool(file, max_events=9_999)
    for number in range(200):
        made.append(b"x" * 500, recorded_at=number)
    made.close()
    size = file.stat().st_size
    with file.open("r+b") as opened:  # all pages but the first five hold garbage
        opened.seek(5 * 4096)
        opened.write(b"\xff" * (size - 5 * 4096))
    found = Spool(file, max_events=9_999)
    with pytest.raises(SpoolError, match="the file is damaged; move it away"):
        texts(found)
    with pytest.raises(SpoolError, match="the file is damaged; move it away"):
        found.append(b"more", recorded_at=0)
    found.close()


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda file: file.write_bytes(made_store()), "is not a spool; name another file"),
        (lambda file: file.write_bytes(b"not a database at all" * 99), "is not a spool; name"),
        (lambda file: file.mkdir(), "cannot be opened; check its folder and permissions"),
    ],
    ids=["a store", "a text", "a folder"],
)
def test_a_file_that_is_no_spool_is_left_alone(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "spool.db"
    make(file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(SpoolError, match=said):
        Spool(file, max_events=9)
    assert not before or file.read_bytes() == before


def test_a_spool_of_another_version_is_left_alone(tmp_path: Path, spool: Spool) -> None:
    with sqlite3.connect(spool.file) as connection:
        connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(SpoolError, match=r"is a spool of another version \(2\); upgrade"):
        Spool(spool.file, max_events=9)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="its folder does not exist; make it first"):
        Spool(tmp_path / "none" / "spool.db", max_events=9)


def test_a_spool_that_another_process_writes_for_long_is_said_to_be_in_use(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.client.spool.BUSY_TIMEOUT_S", 0.05)
    hurried = Spool(spool.file, max_events=9)
    holder = sqlite3.connect(spool.file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolError, match="is in use by another process that is writing"):
        hurried.append(b"1", recorded_at=0)
    holder.execute("ROLLBACK")
    holder.close()
    hurried.append(b"1", recorded_at=0)
    assert hurried.counts() == (1, 0)
    hurried.close()


def test_a_closed_spool_takes_nothing(spool: Spool) -> None:
    spool.close()
    with pytest.raises(SpoolError, match="was closed; open it anew"):
        spool.append(b"1", recorded_at=0)
