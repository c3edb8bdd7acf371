"""A job that is killed while it writes: the child of ``test_rederive``.

Run as ``python -m tests.journeys.kill_rederive FOLDER ARGUMENTS``: once for each file that the job
writes it clears FOLDER of them, forks a run of the job that is killed with that file flushed and
not yet under its name, and prints which files are there then.

Invariant: the process that forks has started no thread.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pandas  # noqa: F401 (here once, not in each child)

from scripts import rederive_prices

FILES = ("candidate.json", "report.json")


def main(folder: Path, *, arguments: list[str]) -> None:
    """Kill one run for each file that it writes."""
    for nth in (1, 2):
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _killed_job(arguments, nth=nth)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the job ended by itself before file {nth}"
        print([name for name in FILES if (folder / name).exists()], flush=True)


def _killed_job(arguments: list[str], *, nth: int) -> None:
    """Run the job until it flushes a file for the time ``nth``, and end as a power cut would."""
    flush, flushed = os.fsync, 0

    def kill(descriptor: int) -> None:
        nonlocal flushed
        flushed += 1
        flush(descriptor)
        if flushed == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = kill  # type: ignore[assignment]
    rederive_prices.main(arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), arguments=sys.argv[2:])
