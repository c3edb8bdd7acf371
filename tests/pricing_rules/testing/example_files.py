"""The files of the example repository, as they are and with something in them gone bad.

Invariant: whatever is replaced in a file is there exactly once, so that a bad policy is bad in
the one way that its test says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pricing_rules.testing.files import PolicyFiles

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "policy_repository"

DIGEST = "sha256:4240bfaf555b6f8b2c62512074e5efbb7791cdbb0344b068408f397588499adb"
"""The file that the example's rows were measured in, as each of them says."""

STATED: Mapping[str, str | Sequence[str]] = {
    "tokenworks_factory": "factory.yaml",
    "tokenworks_policy": "policy.yaml",
    "tokenworks_measurements": ["measurements/h200_b200.jsonl"],
    "tokenworks_effective_from": "2026-12-01T00:00:00Z",
    "tokenworks_previous_book": "price_book_7.json",
    "tokenworks_usage_mix": "usage_mix.json",
}


def files_at(root: Path, *, stated: Mapping[str, str | Sequence[str]] = STATED) -> PolicyFiles:
    """The files under a root directory."""
    return PolicyFiles(root, stated=lambda option: stated.get(option, ""))


def replaced(text: str, *, old: str, new: str) -> str:
    """A text with its one ``old`` replaced."""
    assert text.count(old) == 1, f"{old} stands {text.count(old)} times"
    return text.replace(old, new)


@dataclass(frozen=True, kw_only=True)
class Edits:
    """The example with a line of its files replaced: (file, old, new)."""

    folder: Path

    def files(self, *edits: tuple[str, str, str]) -> PolicyFiles:
        """The files of the example with these edits; those without one are the example's own."""
        stated = {
            option: [str(EXAMPLE / one) for one in value]
            if isinstance(value, list)
            else str(EXAMPLE / str(value))
            for option, value in STATED.items()
        } | {"tokenworks_effective_from": STATED["tokenworks_effective_from"]}
        texts = {name: (EXAMPLE / name).read_text(encoding="utf-8") for name, _, _ in edits}
        for name, old, new in edits:
            texts[name] = replaced(texts[name], old=old, new=new)
            (self.folder / name).write_text(texts[name], encoding="utf-8")
            option = f"tokenworks_{name.removesuffix('.yaml')}"
            stated[option] = str(self.folder / name)
        return files_at(self.folder, stated=stated)

    def with_rule(self, rule: str) -> PolicyFiles:
        """The example with one more rule at the end of its policy."""
        return self.files(("policy.yaml", "\nguard_rails:\n", f"{rule}\n\nguard_rails:\n"))


@pytest.fixture
def edited(tmp_path: Path) -> Edits:
    """The example, to be made bad."""
    return Edits(folder=tmp_path)


@pytest.fixture(scope="session")
def example() -> PolicyFiles:
    """The example as it is."""
    return files_at(EXAMPLE)
