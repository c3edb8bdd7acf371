"""Close of 10,000 accounts from the totals that are kept at ingest: wall time and peak memory.

Invariant: the close runs in a process of its own, so that its peak is not that of the preparation.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from billing.domain.agreement.agreement import Agreement
from billing.operations.close import close
from billing.operations.verify import verify
from billing.store.agreements import StoredAgreement, append_agreement
from billing.store.schema import upgrade
from billing.store.store import open_store
from pricing_rules.document import canonical_json, content_digest, dump, load_json
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    START_AT,
    agreement_text,
    deliver,
    ladder_books,
    publish,
)
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import event

ACCOUNTS = 10_000
EVENTS_OF_ACCOUNT = 4
TIMES = ("2026-10-02T12:00:00Z", "2026-10-20T12:00:00Z")


def run() -> Iterator[dict[str, object]]:
    """Seconds and MB of one close; then the seconds of a second one, and of a verify."""
    with TemporaryDirectory() as folder:
        store = Path(folder, "close.db")
        _make(store, folder=Path(folder))
        ran = subprocess.run(
            [sys.executable, "-m", "tests.bench.bench_close", str(store)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
    figures = json.loads(ran.stdout)
    label = f"{ACCOUNTS:,} accounts from kept totals"
    yield {"metric": f"close of {label}", "value": figures["close_s"], "unit": "s"}
    yield {"metric": f"close of {label}, peak RSS", "value": figures["peak_mb"], "unit": "MB"}
    yield {"metric": f"close again of {label}", "value": figures["again_s"], "unit": "s"}
    yield {"metric": f"verify of {label}", "value": figures["verify_s"], "unit": "s"}


def _make(file: Path, *, folder: Path) -> None:
    """Two books with a ladder, 10,000 agreements, and four events of each account."""
    upgrade(file)
    names = [f"account-{i:05d}" for i in range(ACCOUNTS)]
    with open_store(file) as store:
        for value in ladder_books():
            publish(store, value)
        with store.write() as connection:
            for name in names:
                text = agreement_text(name).encode()
                document = dump(load_json(Agreement, text, name=name))
                append_agreement(
                    connection,
                    agreement=StoredAgreement(
                        account=name,
                        version=1,
                        effective_from=START_AT,
                        accepted_at=START_AT,
                        digest=content_digest(document),
                        document=canonical_json(document).decode(),
                    ),
                )
        events = [
            event(
                i * EVENTS_OF_ACCOUNT + n,
                {"input_tokens": 3_000_000 + i},
                account=name,
                time=TIMES[n % 2],
            )
            for i, name in enumerate(names)
            for n in range(EVENTS_OF_ACCOUNT)
        ]
        deliver(store, folder, events)


def _close(file: Path) -> dict[str, object]:
    with open_store(file) as store:
        started_s = time.perf_counter()
        close(store, month="2026-10", by="bench", now_at=IN_NOVEMBER_AT)
        closed_s = time.perf_counter()
        peak_kb = _peak_kb()
        report = close(store, month="2026-10", by="bench", now_at=IN_NOVEMBER_AT)
        again_s = time.perf_counter()
        if {one.state for one in report.periods} != {"invoiced before"}:
            raise AssertionError("the second close found something due")
        if not verify(store).holds:
            raise AssertionError("the store does not add up")
        verified_s = time.perf_counter()
    return {
        "close_s": round(closed_s - started_s, 3),
        "again_s": round(again_s - closed_s, 3),
        "verify_s": round(verified_s - again_s, 3),
        "peak_mb": round(peak_kb / 1024, 1),
    }


def _peak_kb() -> int:
    """The peak of resident memory; Linux counts it anew for each program, getrusage does not."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(_close(Path(sys.argv[1]))))
