"""The log is JSON lines on stderr, and no key is ever in it (fault 117)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.house.tree import REPOSITORY

KEY = "tw_0123456789_" + "s" * 43
WEBHOOK_SECRET = "whsec_" + "s" * 43 + "="

_PROGRAM = f"""
import logging
from billing.log import logger, set_up_log
set_up_log("info")
log = logger("test")
log.debug("unheard")
log.info("said", account="acme", count=3, url="{WEBHOOK_SECRET} is one")
log.info("{KEY} was sent", headers={{"authorization": "x", "x": ["Bearer {KEY}"]}}, secret="{KEY}")
try:
    raise ValueError("{KEY}")
except ValueError:
    log.exception("failed")
logging.getLogger("uvicorn.error").warning("of a library: %s", "{KEY}")
logging.getLogger("uvicorn.error").debug("unheard")
"""


def noted(program: str = _PROGRAM) -> list[dict[str, Any]]:
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    return [json.loads(line) for line in ran.stderr.splitlines()]


def test_a_line_is_an_object_with_its_fields_and_holds_no_secret() -> None:
    lines = noted()
    assert [one["event"] for one in lines] == [
        "said",
        "tw_0123456789_... was sent",
        "failed",
        "of a library: tw_0123456789_...",
    ]
    said, sent, failed, library = lines
    assert (said["account"], said["count"], said["level"]) == ("acme", 3, "info")
    assert said["timestamp"].endswith("Z")
    assert said["url"] == "whsec_... is one"
    assert (sent["headers"], sent["secret"]) == (
        {"authorization": "...", "x": ["Bearer ..."]},
        "...",
    )
    assert "ValueError: tw_0123456789_..." in failed["exception"]
    assert library["level"] == "warning"
    assert "sss" not in json.dumps(lines)


_NAMED = """
import logging
from billing.log import logger, set_up_log
set_up_log("info", pid=7)
logger("test").info("said")
logging.getLogger("uvicorn.error").warning("of a library")
"""


def test_one_of_several_processes_is_named_in_each_of_its_lines() -> None:
    assert [(one["event"], one["pid"]) for one in noted(_NAMED)] == [
        ("said", 7),
        ("of a library", 7),
    ]
    assert not any("pid" in one for one in noted())
