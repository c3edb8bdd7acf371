"""The house rules that no linter knows hold over the tree, and each check finds what is planted.

Invariant: a check without a planted violation that it finds, and a neighbour that it lets pass, is
not a check.
"""

from __future__ import annotations

import ast

import pytest

from tests.house import purity, shape, words
from tests.house.tree import REPOSITORY, Check, findings, functions, modules, parse

PACKAGES = ("pricing_rules", "billing")
EVERYTHING = (*PACKAGES, "tests")

CORE = "pricing_rules/planted.py"
FILE_DOOR = "pricing_rules/testing/files.py"
COST = "pricing_rules/cost/planted.py"
OUTER = "billing/operations/planted.py"


@pytest.mark.parametrize(
    "check",
    [
        purity.floats,
        purity.impurity,
        purity.rounding,
        shape.signatures,
        words.words,
        words.units,
        words.moments,
    ],
    ids=lambda check: check.__name__,
)
def test_the_packages_keep_the_rule(check: Check) -> None:
    found = findings(check, sources=modules(*PACKAGES))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "check", [shape.sizes, shape.openings, shape.nameless], ids=lambda check: check.__name__
)
def test_the_whole_tree_keeps_the_rule(check: Check) -> None:
    found = findings(check, sources=modules(*EVERYTHING))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", EVERYTHING)
def test_the_checks_read_each_folder(folder: str) -> None:
    assert modules(folder)


@pytest.mark.parametrize(
    "check, path, source, named",
    [
        (purity.floats, CORE, "SHARE = 0.5", "0.5 is a float"),
        (purity.floats, CORE, "x = float('1')", "float()"),
        (purity.floats, CORE, "import math\nx = math.sqrt(2)", "math.sqrt"),
        (purity.floats, CORE, "from math import inf", "math.inf"),
        (purity.floats, CORE, "x = np.float64(1)", "numpy.float64"),
        (purity.floats, CORE, "class A:\n    share: float", "declared a float"),
        (purity.floats, CORE, "def f(x: int) -> 'float': ...", "f takes or returns a float"),
        (purity.floats, "billing/domain/tax/planted.py", "x = 1e3", "1000.0 is a float"),
        (purity.impurity, CORE, "import os", "no os"),
        (purity.impurity, CORE, "import urllib.request", "no urllib.request"),
        (purity.impurity, CORE, "from pathlib import Path", "no pathlib.Path"),
        (purity.impurity, COST, "data = open('points.csv')", "no open()"),
        (purity.impurity, FILE_DOOR, "path.write_bytes(data)", "no .write_bytes()"),
        (purity.impurity, COST, "data = source.read_bytes()", "no .read_bytes()"),
        (purity.impurity, CORE, "print('charged')", "no print()"),
        (purity.impurity, CORE, "at = datetime.now(tz=UTC)", "no datetime.now"),
        (purity.impurity, CORE, "at = datetime.datetime.now()", "no datetime.datetime.now"),
        (purity.impurity, CORE, "on = date.today()", "no date.today"),
        (purity.impurity, CORE, "from uuid import uuid4", "no uuid.uuid4"),
        (purity.impurity, COST, "r = np.random.default_rng()", "no np.random.default_rng"),
        (purity.rounding, OUTER, "def pay(x):\n    return round_half_away(x)", f"{OUTER}::pay"),
        (purity.rounding, CORE, "x = money.round_half_away(y)", f"{CORE}:: is no"),
        (purity.rounding, CORE, "x = round(y)", "half to even"),
        (shape.sizes, OUTER, '"""Long."""\n' + "x = 1\n" * 400, "a file of 401 lines"),
        (shape.sizes, OUTER, "def f():\n" + "    x = 1\n" * 70, "f has 71 lines"),
        (shape.openings, OUTER, "x = 1", "without a docstring"),
        (shape.openings, "billing/engines/__init__.py", "", "without a docstring"),
        (shape.nameless, "billing/operations/rate_utils.py", "", "utils says nothing"),
        (shape.nameless, "billing/common/rates.py", "", "common says nothing"),
        (shape.nameless, OUTER, "class InvoiceManager: ...", "manager says nothing"),
        (shape.signatures, OUTER, "def f(**options): ...", "f takes **kwargs"),
        (shape.signatures, OUTER, "def f(a, b): ...", "f takes 2 arguments"),
        (shape.signatures, OUTER, "class A:\n    def f(self, a, b): ...", "A.f takes 2 arguments"),
        (words.words, OUTER, "def f(*, customer_id: str): ...", "say account, not customer"),
        (words.words, OUTER, "class PriceList: ...", "say price book, not price list"),
        (words.words, OUTER, "invoice_log = []", "say ledger, not invoice log"),
        (words.words, OUTER, "class A:\n    tier: str", "a bare tier"),
        (words.words, OUTER, "tax_bracket = 1", "say band, not bracket"),
        (words.words, OUTER, "def update_rate(): ...", "not a verb of the house"),
        (words.units, COST, "class A:\n    board_power: float", '"board_power" has no unit'),
        (words.units, OUTER, "def f(*, timeout): ...", '"timeout" has no unit'),
        (words.units, OUTER, "def f(*, price: Decimal): ...", '"price" has no unit'),
        (
            words.units,
            COST,
            "class A:\n    @property\n    def ttft(self) -> float: ...",
            '"ttft" has no unit',
        ),
        (words.moments, CORE, "class A:\n    published: MomentText", "end it in _at"),
        (words.moments, CORE, "class A:\n    due: date | None", "end it in _date"),
    ],
)
def test_a_planted_violation_is_found(check: Check, path: str, source: str, named: str) -> None:
    found = findings(check, sources=[parse(source, path=path)])
    assert len(found) == 1
    assert named in found[0]


@pytest.mark.parametrize(
    "check, path, source",
    [
        (purity.floats, COST, "SHARE: float = 0.5"),
        (purity.floats, OUTER, "WAIT_S = 0.5"),
        (purity.floats, CORE, "import math\nx = math.gcd(4, 6) * 10**6"),
        (purity.impurity, OUTER, "import os\nprint(os.environ)"),
        (purity.impurity, FILE_DOOR, "from pathlib import Path\nx = Path('a').read_bytes()"),
        (purity.impurity, COST, "import io\nx = pd.read_csv(io.BytesIO(data))"),
        (purity.impurity, CORE, "from datetime import UTC, datetime\nx = datetime(2026, 1, 1)"),
        (purity.rounding, COST, "x = round(y, 3)"),
        (shape.sizes, OUTER, '"""Long."""\n' + "x = 1\n" * 399),
        (shape.sizes, OUTER, "def f():\n" + "    x = 1\n" * 69),
        (shape.openings, "tests/journeys/__init__.py", ""),
        (shape.nameless, OUTER, "class Invoice(BaseModel): ..."),
        (shape.signatures, OUTER, "def f(a, *, b): ...\ndef _g(a, b): ..."),
        (shape.signatures, OUTER, "class A:\n    def f(self, a, *, b): ..."),
        (
            shape.signatures,
            OUTER,
            "class A:\n    @field_validator('x')\n    def f(cls, a, b): ...",
        ),
        (words.words, OUTER, "service_tier = 1\nservice_tiers = [service_tier]"),
        (words.words, OUTER, "digest.update(data)\nrow = theirs.customer_id"),
        (words.units, COST, "class A:\n    power_kw: float\n    price_usd_per_mtok: float"),
        (words.units, COST, "class A:\n    cost: UnitCost\n    size: Literal['short', 'long']"),
        (words.units, OUTER, "def f():\n    size = len(rows)\n    return size"),
        (
            words.moments,
            CORE,
            "class A:\n    published_at: MomentText\n    effective_from: MomentText",
        ),
        (words.moments, CORE, "class A:\n    due_date: date"),
    ],
)
def test_what_is_right_passes(check: Check, path: str, source: str) -> None:
    assert findings(check, sources=[parse(source, path=path)]) == []


def test_every_named_rounding_site_still_rounds() -> None:
    calling = {
        f"{module.path}::{holder}"
        for module in modules(*PACKAGES)
        for holder, call in purity.calls(module.tree)
        if ast.unparse(call.func).endswith("round_half_away")
    }
    assert set(purity.ROUNDING_SITES) <= calling


def test_every_function_that_may_take_positional_arguments_exists() -> None:
    existing = {
        (module.path, function.name)
        for module in modules(*PACKAGES)
        for function in functions(module.tree)
    }
    for allowed in shape.POSITIONAL_ALLOWED:
        path, name = allowed.split("::")
        assert (path, name.rsplit(".", 1)[-1]) in existing


def test_every_file_door_is_still_in_use() -> None:
    paths = {module.path for module in modules(*PACKAGES)}
    assert set(purity.FILE_DOORS) <= paths


def test_every_allowed_word_is_still_in_use() -> None:
    used = {name for module in modules(*PACKAGES) for name in words.chosen_names(module.tree)}
    assert set(words.WORDS_ALLOWED) | set(words.UNITLESS_ALLOWED) <= used


def test_the_lock_names_no_host_and_hashes_every_package() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    packages = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert packages
    assert all(line.endswith("\\") for line in packages)  # a hash follows on the next line
