"""The documents of the demo, and who is said to have sent the requests of a trace.

Invariant: all of them are files of this folder; the policies of the other series differ from
``policy.yaml`` only in what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from billing.intake.assignment import Assignment

ACCOUNTS = ("acme", "globex", "initech", "kaisha")

ASSIGNMENT = Assignment(
    accounts=(("acme", 5), ("globex", 3), ("initech", 2), ("kaisha", 2)),
    models=(("gpt-oss-120b", 5), ("MiniMax-M2.5", 3), ("Llama-3.1-70B", 2)),
    service_tiers=(("standard", 6), ("batch", 3), ("priority", 1)),
)
"""Who is said to have sent the requests of a trace, with weights; see ``Assignment`` for how."""

SERIES = ("demo", "demo-volume", "demo-jpy")
"""The price-book series: list prices, a ladder for accounts that use more, and yen."""

_LADDER = """
  - id: output-volume
    when: {service_tiers: [standard], units: [output_tokens]}
    then:
      action: ladder
      id: output-volume
      kind: graduated
      bands:
        - {up_to: 50000, multiply: "1"}
        - {up_to: 200000, multiply: "0.95"}
        - {multiply: "0.90"}
    why: "accounts that use more pay less for what they use more"
"""

_YEN = """series: demo-jpy
currency: JPY
exchange:
  currency: JPY
  per_usd: "151.20"
  date: "2026-09-30"
  source: "an assumption of the demo: a month-end rate that finance agreed on"
"""


def demo_documents() -> Mapping[str, bytes]:
    """Every document by file name: factory, the three policies, and one agreement per account."""
    folder = resources.files("billing.cli.demo")
    policy = folder.joinpath("policy.yaml").read_text(encoding="utf-8")
    head = "series: demo\ncurrency: USD\n"
    if head not in policy:
        raise AssertionError("policy.yaml no longer begins with its series and currency")
    volume = policy.replace(head, "series: demo-volume\ncurrency: USD\n").rstrip("\n") + _LADDER
    found = {
        "factory.yaml": folder.joinpath("factory.yaml").read_bytes(),
        "policy-demo.yaml": policy.encode(),
        "policy-demo-volume.yaml": volume.encode(),
        "policy-demo-jpy.yaml": policy.replace(head, _YEN).encode(),
    }
    for account in ACCOUNTS:
        found[f"{account}.yaml"] = folder.joinpath(f"{account}.yaml").read_bytes()
    return found
