"""Deriving, publishing and explaining price books by command, and what each refuses.

Invariant: a command that refuses says one sentence, with file and line where there is one, exits
with 2 and writes nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.made_files import Json, Ran, book, card, rate_of, tokenworks, write_json

PUBLISHED_AT = ("--published-at", "2026-11-25T12:00:00Z", "--by", "dana")
UNDER_FLOOR = "under_floor:m/standard/input_tokens/region=eu"


def _publish(candidate: Path, *flags: str, out: Path) -> Ran:
    return tokenworks("price", "publish", candidate, *PUBLISHED_AT, *flags, "--out", out)


def _candidate(folder: Path, *findings: tuple[str, str], **fields: Json) -> Path:
    """A candidate of one rate with these findings, each (id, kind)."""
    found = [{"id": name, "kind": kind, "sentence": f"see {name}"} for name, kind in findings]
    value = book(card(rate_of("input_tokens", "1")), findings=found, **fields)
    return write_json(folder / "candidate.json", value)


def _derive(
    folder: Path, *, out: Path, measurements: str | Path = "aiconfigurator", shape: str = "table"
) -> Ran:
    return tokenworks(
        *("price", "derive", "--factory", folder / "factory.yaml"),
        *("--policy", folder / "policy-demo.yaml", "--measurements", measurements, "--number", "1"),
        *("--effective-from", "2026-09-30T00:00:00Z", "--out", out, "--format", shape),
    )


# Publishing.


def test_findings_without_a_word_are_named_and_nothing_is_written(in_demo: Path) -> None:
    candidate = in_demo / "demo-out" / "candidate-demo.json"
    findings = [finding["id"] for finding in json.loads(candidate.read_bytes())["findings"]]
    ran = _publish(candidate, "--sign-off", "overcharge:*=seen", out=in_demo / "book.json")
    named = [one for one in findings if not one.startswith("overcharge:")]
    assert ran.sentence.startswith(f"sign-offs: missing for {len(named)} of {len(findings)} ")
    assert all(one in ran.sentence for one in named)
    assert not (in_demo / "book.json").exists()


def test_a_published_book_keeps_its_bytes(tmp_path: Path) -> None:
    candidate, out = _candidate(tmp_path, ("stale:x", "stale")), tmp_path / "book.json"
    assert _publish(candidate, "--sign-off", "stale:x=seen", out=out).code == 0
    first = out.read_bytes()
    assert _publish(candidate, "--sign-off", "stale:x=seen", out=out).code == 0
    assert out.read_bytes() == first
    ran = _publish(candidate, "--sign-off", "stale:x=seen again", out=out)
    assert ran.sentence == f"{out}: exists with another content; choose another name"
    assert out.read_bytes() == first


@pytest.mark.usefixtures("measured")
def test_deriving_never_overwrites_a_published_book_but_may_repeat_a_candidate(
    in_demo: Path,
) -> None:
    folder = in_demo / "demo-out"
    book_before, candidate = (
        (folder / "book-demo.json").read_bytes(),
        folder / "candidate-demo.json",
    )
    before = candidate.read_bytes()
    ran = _derive(folder, out=folder / "book-demo.json")
    assert ran.sentence.endswith("book-demo.json: is a published price book; choose another name")
    assert (folder / "book-demo.json").read_bytes() == book_before
    assert _derive(folder, out=candidate).code == 0
    assert candidate.read_bytes() == before


@pytest.mark.parametrize(
    "sign_off, reason",
    [
        (f"{UNDER_FLOOR}=welcome offer", "welcome offer"),
        (f"{UNDER_FLOOR}=a=b", "a=b"),
        ("under_floor:*=seen", "seen"),
        ("under_floor:*/region=eu=seen", "seen"),
        ("*=seen", "seen"),
    ],
)
def test_a_finding_is_signed_off_by_its_id_or_a_pattern_even_with_an_equals_sign_in_it(
    tmp_path: Path, sign_off: str, reason: str
) -> None:
    candidate, out = _candidate(tmp_path, (UNDER_FLOOR, "under_floor")), tmp_path / "book.json"
    ends = ("--override-ends-at", "2027-01-01T00:00:00Z")
    ran = _publish(candidate, "--sign-off", sign_off, *ends, out=out)
    assert ran.code == 0, ran.err
    assert json.loads(out.read_bytes())["sign_offs"] == [
        {
            "finding": UNDER_FLOOR,
            "by": "dana",
            "reason": reason,
            "ends_at": "2027-01-01T00:00:00Z",
        }
    ]


def test_a_finding_whose_id_reads_like_a_pattern_is_signed_off_by_its_id(tmp_path: Path) -> None:
    name = "stale:model[v2]/standard"
    candidate, out = _candidate(tmp_path, (name, "stale")), tmp_path / "book.json"
    assert _publish(candidate, "--sign-off", f"{name}=seen", out=out).code == 0


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--sign-off", "stale:x"], '--sign-off: must be FINDING=REASON, not "stale:x"'),
        (["--sign-off", "=seen"], "--sign-off: must be FINDING=REASON"),
        (["--sign-off", "gone:*=seen"], '--sign-off: no finding matches "gone:*"; remove it'),
        (["--sign-off", f"{UNDER_FLOOR}=seen"], "an override of a floor ends; say when in ends_at"),
        (["--supersedes", "1=wrong"], "supersedes: the first book of a series replaces none"),
        (["--supersedes", "9" * 5000 + "=wrong"], "--supersedes number: must be a whole number"),
        (["--supersedes", "\u0661=wrong"], "--supersedes number: must be a whole number"),
        (["--supersedes", "1"], "--supersedes reason: string should have at least 1 character"),
        (["--previous", "absent.json"], "absent.json: cannot be read (no such file or directory)"),
    ],
)
def test_what_publishing_cannot_read_is_one_sentence(
    tmp_path: Path, flags: list[str], said: str
) -> None:
    # Signed off but for what the case is about: the findings are checked before the succession.
    candidate = _candidate(tmp_path, (UNDER_FLOOR, "under_floor"))
    if "--sign-off" not in flags:
        candidate = _candidate(tmp_path)
    assert said in _publish(candidate, *flags, out=tmp_path / "book.json").sentence
    assert not (tmp_path / "book.json").exists()


def test_the_next_book_of_a_series_follows_the_one_before(tmp_path: Path) -> None:
    first, second = tmp_path / "book-1.json", tmp_path / "book-2.json"
    assert _publish(_candidate(tmp_path), out=first).code == 0
    # Number 2 reaches back to October, and says in so many words what it replaces.
    candidate = _candidate(tmp_path, number=2)
    ran = _publish(candidate, "--previous", str(first), out=second)
    assert "reaches back over what is published" in ran.sentence
    flags = ("--previous", str(first), "--supersedes", "1=the rate was wrong")
    assert _publish(candidate, *flags, out=second).code == 0
    replaced = {"number": 1, "reason": "the rate was wrong"}
    assert json.loads(second.read_bytes())["supersedes"] == replaced


def test_a_book_is_published_once(tmp_path: Path) -> None:
    out = tmp_path / "book.json"
    assert _publish(_candidate(tmp_path), out=out).code == 0
    again = _publish(out, out=tmp_path / "again.json")
    assert again.sentence == "candidate: number 1 is published already"


def test_an_edited_book_is_refused_by_whoever_reads_it(tmp_path: Path) -> None:
    out = tmp_path / "book.json"
    assert _publish(_candidate(tmp_path), out=out).code == 0
    edited = json.loads(out.read_bytes())
    edited["rate_cards"][0]["rates"][0]["rate"] = "100"
    write_json(out, edited)
    usage = tmp_path / "usage.csv"
    usage.write_text("id,source,account,time,model,service_tier\n")
    flags = ("--model", "m", "--service-tier", "standard")
    said = "book.json digest: the book was edited after it was published; restore it"
    for ran in (
        tokenworks("price", "explain", out, *flags, "--unit", "input_tokens"),
        tokenworks("quote", "--price-book", out, *flags, "--unit", "input_tokens=1"),
        tokenworks("rate", "--price-book", out, "--usage", usage),
        _publish(out, out=tmp_path / "again.json"),
    ):
        assert ran.sentence == said


def test_a_book_never_replaces_a_device_or_a_folder(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for out in (link, tmp_path, Path()):
        assert _publish(_candidate(tmp_path), out=out).code == 2
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()


def test_a_title_is_not_read_as_markup(tmp_path: Path) -> None:
    ran = _publish(_candidate(tmp_path, series="[/x]"), out=tmp_path / "book.json")
    assert ran.code == 0
    assert "[/x] number 1, USD" in ran.text


# Explaining.


def _leaves(step: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    path = (*path, step["kind"])
    yield path, step["sentence"]
    for below in step["rests_on"]:
        yield from _leaves(below, path)


def _explain(shape: str) -> Ran:
    return tokenworks(
        *("price", "explain", "demo-out/book-demo.json", "--model", "gpt-oss-120b"),
        *("--service-tier", "standard", "--unit", "output_tokens", "--format", shape),
    )


def test_a_rate_is_walked_down_to_file_row_and_digest_in_every_shape(in_demo: Path) -> None:
    walk = list(_leaves(_explain("json").json))
    points = [sentence for path, sentence in walk if path[-1] == "operating point"]
    assert points
    row = re.compile(r"aiconfigurator-core-[0-9.]+/silicon_sample\.csv rows? [0-9, ]+\b")
    assert all(row.search(point) for point in points)
    # Each document that the book rests on has the digest of the file that the demo left.
    documents = dict(s.rsplit(", ", 1) for path, s in walk if path[-1] == "document")
    for role, name in (("factory", "factory.yaml"), ("policy", "policy-demo.yaml")):
        data = (in_demo / "demo-out" / name).read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert documents[f"{role} {name}"] == digest
    (sample,) = (digest for name, digest in documents.items() if name.startswith("measurement "))
    assert all(sample in point for point in points)
    # The other shapes show the same nodes in the same order.
    rows = list(csv.DictReader(io.StringIO(_explain("csv").text)))
    assert [(one["kind"], one["sentence"]) for one in rows] == [(p[-1], s) for p, s in walk]
    lines = _explain("table").text.splitlines()
    assert [line.lstrip("├└│─ ") for line in lines] == [f"{p[-1]}: {s}" for p, s in walk]


def test_a_rate_without_measured_cost_says_so_and_the_walk_ends(tmp_path: Path) -> None:
    path = write_json(tmp_path / "book.json", book(card(rate_of("input_tokens", "1"))))
    flags = ("--model", "m", "--service-tier", "standard", "--unit", "input_tokens")
    ran = tokenworks("price", "explain", path, *flags, "--format", "csv")
    assert ran.text.splitlines()[-1] == (
        "1,cost,cost: none (no measured cost stands behind this rate)"
    )


@pytest.mark.parametrize(
    "model, service_tier, unit, said",
    [
        ("n", "standard", "input_tokens", "has no rate card of n in standard; it has m in stand"),
        ("m", "batch", "input_tokens", "has no rate card of m in batch"),
        ("m", "standard", "output_tokens", "has no rate of output_tokens for m in standard; it ha"),
    ],
)
def test_what_a_book_does_not_have_is_said_with_what_it_has(
    tmp_path: Path, model: str, service_tier: str, unit: str, said: str
) -> None:
    path = write_json(tmp_path / "book.json", book(card(rate_of("input_tokens", "1"))))
    flags = ("--model", model, "--service-tier", service_tier, "--unit", unit)
    assert said in tokenworks("price", "explain", path, *flags).sentence


# Deriving.


def test_measurements_that_are_none_are_refused(documents: Path, tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("a,b\n1,2\n")
    for name in ("sample.csv", "absent.csv"):
        ran = _derive(documents, out=tmp_path / "c.json", measurements=tmp_path / name)
        assert name in ran.sentence
    assert not (tmp_path / "c.json").exists()


@pytest.mark.usefixtures("measured")
def test_a_model_that_no_pool_serves_is_a_finding_beside_the_other_cards(
    documents: Path, tmp_path: Path
) -> None:
    policy = documents / "policy-demo.yaml"
    text = policy.read_text(encoding="utf-8")
    policy.write_text(text.replace("gpt-oss-120b", "gpt-of-no-one"), encoding="utf-8")
    found = _derive(documents, out=tmp_path / "c.json", shape="json").json
    assert "gpt-of-no-one" not in {one["model"] for one in found["rate_cards"]}
    assert "not_served:gpt-of-no-one/batch" in {one["id"] for one in found["findings"]}


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--number", "0"), "Invalid value for '--number': 0 is not in the range x>=1."),
        (("--number", "1000000001"), "number: input should be less than or equal to 1000000000"),
        (("--effective-from", "2026-12-01"), "must be a moment such as"),
        (("--effective-from", "2026-12-01T00:00:60Z"), "is not a moment that exists"),
    ],
)
@pytest.mark.usefixtures("measured")
def test_flags_that_no_book_can_have_are_refused(
    documents: Path, tmp_path: Path, flags: tuple[str, str], said: str
) -> None:
    given = {
        "--factory": str(documents / "factory.yaml"),
        "--policy": str(documents / "policy-demo.yaml"),
        "--measurements": "aiconfigurator",
        "--number": "1",
        "--effective-from": "2026-12-01T00:00:00Z",
        "--out": str(tmp_path / "c.json"),
        flags[0]: flags[1],
    }
    ran = tokenworks("price", "derive", *(word for pair in given.items() for word in pair))
    assert said in ran.sentence
    assert not (tmp_path / "c.json").exists()
