"""What the journeys share: one run of the demo, and the folder that it leaves.

Invariant: no journey changes the folder of the session; who writes, works on a copy.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from billing.cli.demo.documents import demo_documents
from tests.journeys.made_files import Ran, tokenworks


@pytest.fixture(scope="session")
def measured() -> None:
    """Skips where the measurements that the demo rests on are not installed."""
    if importlib.util.find_spec("aiconfigurator_core") is None:
        pytest.skip("aiconfigurator-core is not installed (it needs Python before 3.14)")


@pytest.fixture(scope="session")
def demo_run(measured: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """The folder in which ``tokenworks demo`` was run once, with demo-out/ in it, and its run."""
    folder = tmp_path_factory.mktemp("demo")
    before = Path.cwd()
    os.chdir(folder)
    try:
        ran = tokenworks("demo")
    finally:
        os.chdir(before)
    assert ran.code == 0, ran.err
    return folder, ran


@pytest.fixture
def in_demo(demo_run: tuple[Path, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the demo left, as the working directory; demo-out/ is in it."""
    shutil.copytree(demo_run[0] / "demo-out", tmp_path / "demo-out")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """The demo's own documents (factory, policy, agreements) alone in a folder."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, data in demo_documents().items():
        (folder / name).write_bytes(data)
    return folder
