"""How long a derivation takes: 50 models in 5 service tiers from 5,000 measured points. Aim: 2 s.

Invariant: the points are made by a formula alone, so every run derives the same book; each model
has 100 points: 2 hardware x 2 set-ups x 5 shapes x 5 concurrencies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product

from pricing_rules.cost.factory import Factory, load_factory
from pricing_rules.cost.measurement import OperatingPoint, Parallelism, Setup, Shape, Source
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.policy import Policy, load_policy
from tests.bench.timing import measure

MODELS = 50
PROMISES: dict[str, int | None] = {"batch": None, "slow": 20, "standard": 40, "fast": 60, "top": 80}
HARDWARE = {"h100_sxm": "1.17", "b200_sxm": "1.73"}
SHAPES = ((128, 128), (1024, 1024), (1024, 8192), (8192, 1024), (32768, 1024))
CONCURRENCIES = (1, 4, 16, 64, 256)
_LONG = {"action": "context_step", "request_tokens_over": 8192, "multiply": "1.5"}


def run() -> Iterator[dict[str, object]]:
    """Seconds of one derivation, and the cards that it gives."""
    factory, policy, measurements = _factory(), _policy(), _measurements()
    book = derived(factory, policy=policy, measurements=measurements)
    if len(book.rate_cards) != MODELS * len(PROMISES):
        raise AssertionError(f"{len(book.rate_cards)} cards, not {MODELS * len(PROMISES)}")
    label = f"derive {len(book.rate_cards)} cards from {len(measurements.points):,} points"
    seconds = measure(lambda: derived(factory, policy=policy, measurements=measurements), repeat=3)
    yield {"metric": label, "value": round(seconds, 2), "unit": "s"}


def derived(factory: Factory, *, policy: Policy, measurements: Measurements) -> PriceBook:
    """The candidate book."""
    return derive(
        factory,
        policy=policy,
        measurements=measurements,
        number=1,
        effective_from=parse_moment("2026-12-01T00:00:00Z"),
        inputs=(),
    )


def _measurements() -> Measurements:
    places = product(range(MODELS), HARDWARE, (2, 4), SHAPES, CONCURRENCIES)
    points = tuple(
        _point(row, model=model, hardware=hardware, tp=tp, shape=shape, concurrency=concurrency)
        for row, (model, hardware, tp, shape, concurrency) in enumerate(places, start=2)
    )
    return Measurements(points=points, refused=())


def _point(
    row: int, *, model: int, hardware: str, tp: int, shape: tuple[int, int], concurrency: int
) -> OperatingPoint:
    """A request takes a x input + b x output; more at once share what one leaves, up to a bound."""
    strength = (1 + 0.01 * model) / (2 if hardware == "b200_sxm" else 1)
    tokens_in, tokens_out = shape
    # The least that a request takes, a little more on long ones than a straight line has.
    busy_s = strength * 1e-6 * (60 * tokens_in + 400 * tokens_out) * (1 + 0.02 * tp)
    busy_s *= 1 + tokens_in / 1e6
    per_s = concurrency / (concurrency + 24) / busy_s
    interactivity = 400 / (strength * (1 + concurrency / 64))
    return OperatingPoint(
        setup=Setup(
            model=f"model-{model}",
            hardware=hardware,
            framework="made",
            framework_version="1",
            precision="fp8",
            parallelism=Parallelism(tp=tp, pp=1, dp=1, moe_tp=1, moe_ep=1),
            accelerators=tp,
        ),
        shape=Shape(input_tokens=tokens_in, output_tokens=tokens_out),
        length_factor=1.0,
        concurrency=concurrency,
        input_tokens_per_s_per_accelerator=per_s * tokens_in,
        output_tokens_per_s_per_accelerator=per_s * tokens_out,
        interactivity_tokens_per_s=interactivity,
        ttft_ms=200.0 + concurrency,
        source=Source(
            file="made.csv", sha256="sha256:0", rows=(row,), measured_date="2026-10-01", note=""
        ),
    )


def _factory() -> Factory:
    document = {
        "schema": "tokenworks.factory/1",
        "name": "bench",
        "hardware": {
            name: {"rented": {"all_in_usd_per_hour": _figure(usd)}}
            for name, usd in HARDWARE.items()
        },
        "pools": [
            {
                "name": "main",
                "use": "shared",
                "hardware": dict.fromkeys(HARDWARE, 64),
                "models": [f"model-{i}" for i in range(MODELS)],
                "service_tiers": list(PROMISES),
                "utilization": _figure("0.5"),
            }
        ],
        "variable_usd_per_mtok": {"egress": _figure("0.0005")},
    }
    return load_factory(json.dumps(document).encode(), name="factory.yaml")


def _policy() -> Policy:
    document = {
        "schema": "tokenworks.policy/1",
        "series": "bench",
        "currency": "USD",
        "reference_shape": {"input_tokens": 4000, "output_tokens": 1000},
        "revenue_share": _figure("0.03"),
        "cached_share": _figure("0.05"),
        "models": [{"name": f"model-{i}", "precision": "fp8"} for i in range(MODELS)],
        "service_tiers": [_service_tier(name, promise=one) for name, one in PROMISES.items()],
        "rules": [
            _rule("markup", then={"action": "markup", "share": "0.6"}),
            _rule("round", then={"action": "round_up_to", "step": "0.001"}),
            _rule("long", then=_LONG),
        ],
    }
    return load_policy(json.dumps(document).encode(), name="policy.yaml")


def _service_tier(name: str, *, promise: int | None) -> dict[str, object]:
    plain: dict[str, object] = {"name": name, "pool": "main", "minimum_margin": "0.2"}
    if promise is not None:
        plain["promise"] = {"interactivity_tokens_per_s": promise, "statistic": "mean"}
    return plain


def _rule(id_: str, *, then: Mapping[str, object]) -> dict[str, object]:
    return {"id": id_, "then": then, "why": "a bench"}


def _figure(value: str) -> dict[str, str]:
    return {"value": value, "source": "made up", "source_date": "2026-10-01"}
