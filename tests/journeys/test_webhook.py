"""The command tells endpoints of others what came to be: added, sent, listed, sent again, retired.

Invariant: a secret is on stdout of the command that made it, and nowhere else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from billing.store.store import open_store
from pricing_rules.period import parse_moment
from tests.billing.operations.made_ingest import NOW_AT, made_store
from tests.billing.operations.made_store import IN_NOVEMBER_AT, PLAIN, accept, deliver, publish
from tests.billing.webhooks.receiver import Taken, receiving
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import event, tokenworks

Json = Any

NOW = ("--now", "2026-11-02T00:00:00Z")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "store.db"
    file.write_bytes(made_store())
    return file


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENWORKS_WEBHOOK_HTTP", "allowed")
    monkeypatch.setenv("TOKENWORKS_WEBHOOK_NETWORKS", "127.0.0.0/8")


def webhook(*arguments: str, store: Path, by: bool = True) -> Json:
    """What a command prints as JSON."""
    flags = (*(("--by", "dana") if by else ()), "--store", str(store), "--format", "json")
    ran = tokenworks("webhook", *arguments, *flags)
    assert ran.code == 0, ran.err
    return ran.json


def test_from_an_invoice_to_its_receiver(store: Path, tmp_path: Path) -> None:
    answers = [500]
    with receiving(lambda taken: answers.pop() if answers else 200) as receiver:
        kinds = ("--kind", "invoice.finalized", "--kind", "agreement.accepted")
        made = webhook("add", receiver.url(), *kinds, *NOW, store=store)
        name = made["endpoint"]
        assert made["kinds"] == ["agreement.accepted", "invoice.finalized"]
        with open_store(store) as opened:
            publish(opened, PLAIN)
            accept(opened, tmp_path, now_at=IN_NOVEMBER_AT)
            deliver(opened, tmp_path, [event(1, {"input_tokens": 8_000_000})])
        closing = ("close", "--period", "2026-10", "--by", "dana", "--store", store, *NOW)
        assert tokenworks(*closing).code == 0

        # One of the two messages is refused: exit code 1, and it is due again in five seconds.
        ran = tokenworks("webhook", "send", "--store", store, *NOW, "--format", "json")
        assert ran.code == 1
        assert sorted(one["became"] for one in ran.json) == ["delivered", "failed"]
        (refused,) = [one for one in ran.json if one["became"] == "failed"]
        assert (refused["status"], refused["error"]) == (500, "it answered 500")
        listed = webhook("messages", name, store=store, by=False)
        assert sorted(one["state"] for one in listed) == ["delivered", "pending"]
        later = ("--now", "2026-11-02T00:00:06Z")
        (taken,) = webhook("send", *later, store=store, by=False)
        assert (taken["message"], taken["attempt"]) == (refused["message"], 2)
        assert webhook("messages", name, "--state", "pending", store=store, by=False) == []

        (invoice,) = [one for one in receiver.taken[-2:] if "invoice" in one.text][:1]
        body = invoice.verified(made["secret"], now_at=IN_NOVEMBER_AT)
        assert body["type"] == "invoice.finalized"
        assert (body["data"]["account"], body["data"]["total_minor"]) == ("a", 1_600)

        asked = webhook("send-again", name, invoice.message, *NOW, store=store)
        assert asked["state"] == "pending"
        webhook("send", *NOW, store=store, by=False)
        assert receiver.messages[-1] == invoice.message

    rotated = webhook("rotate", name, *NOW, store=store)
    assert rotated["secret"] not in (None, made["secret"])
    retired = webhook("retire", name, "--reason", "moved", *NOW, store=store)
    assert retired["retired_at"] == "2026-11-02T00:00:00Z"
    assert webhook("list", store=store, by=False) == [retired]
    for shape in ("table", "csv"):
        shown = tokenworks("webhook", "list", "--store", store, "--format", shape)
        assert name in shown.text
        assert "whsec_" not in shown.text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("add", "https://10.0.0.1/", "--kind", "epoch.sealed"), "not of the public internet"),
        (("add", "gopher://a.example/", "--kind", "epoch.sealed"), "must begin with https or http"),
        (("add", "https://a.example/", "--kind", "epoch.opened"), "is none of epoch.sealed"),
        (("retire", "whe_1", "--reason", "x"), "webhook endpoint whe_1: was never made"),
        (("rotate", "whe_1"), "webhook endpoint whe_1: was never made"),
        (("send-again", "whe_1", "msg_1"), "webhook endpoint whe_1: was never made"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    store: Path, arguments: tuple[str, ...], said: str
) -> None:
    ran = tokenworks("webhook", *arguments, "--by", "dana", "--store", store)
    assert said in ran.sentence


def test_messages_of_an_endpoint_that_was_never_made_are_refused(store: Path) -> None:
    assert "was never made" in tokenworks("webhook", "messages", "x", "--store", store).sentence


def test_a_setting_that_is_wrong_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENWORKS_WEBHOOK_NETWORKS", "everywhere")
    sentence = tokenworks("webhook", "send", "--store", store).sentence
    assert sentence.startswith("TOKENWORKS_WEBHOOK_NETWORKS: must be networks such as")


def test_the_secret_is_shown_once(store: Path) -> None:
    flags = ("--kind", "epoch.sealed", "--by", "dana", "--store", store)
    ran = tokenworks("webhook", "add", "https://a.example/", *flags)
    assert ran.text.count("whsec_") == 1
    assert "not shown again" in ran.err


def test_a_service_that_is_killed_while_it_sends_sends_again_with_the_same_id(
    store: Path,
) -> None:
    # The receiver has the message; its sender is killed before it hears so.
    running: list[subprocess.Popen[bytes]] = []

    def answer(taken: Taken) -> int:
        if len(receiver.taken) == 1:
            os.kill(running[0].pid, signal.SIGKILL)
            running[0].wait()
        return 200

    with receiving(answer) as receiver:
        made = webhook("add", receiver.url(), "--kind", "epoch.sealed", store=store)
        assert tokenworks("seal", "--by", "dana", "--store", store).code == 0
        code = "from billing.cli.main import main; main()"
        arguments = ["serve", "--store", str(store), "--port", "0"]
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            running.append(process)
            assert process.wait(timeout=60) == -signal.SIGKILL
        (waiting,) = webhook("messages", made["endpoint"], store=store, by=False)
        assert (waiting["state"], waiting["attempts"]) == ("pending", 1)
        # A minute later at the latest another one begins; until then nobody does.
        assert webhook("send", store=store, by=False) == []
        now = parse_moment(waiting["next_at"])
        assert NOW_AT < now <= time.time_ns() // 1_000 + 60_000_000
        sent = webhook("send", "--now", waiting["next_at"], store=store, by=False)
        assert [one["became"] for one in sent] == ["delivered"]
    assert len(receiver.messages) == 2
    assert len(set(receiver.messages)) == 1
