"""What a service tier that joins a shared pool takes from the others in it, and is charged with.

Invariant: the others cost what they cost without it, and both together what the pool costs.
"""

from __future__ import annotations

from dataclasses import dataclass

from pricing_rules.cost.unit_cost import usd_per_mtok


@dataclass(frozen=True, slots=True, kw_only=True)
class JoiningCharge:
    """What one hour of a pool costs its newcomer, and what is left for the others.

    ``lost_tokens_per_s`` is what the others serve less since it joined.
    """

    lost_tokens_per_s: float
    usd_per_hour: float
    others_usd_per_hour: float
    newcomer_usd_per_mtok: float
    others_usd_per_mtok: float


def joining_charge(
    pool_usd_per_hour: float,
    *,
    others_alone_tokens_per_s: float,
    others_beside_tokens_per_s: float,
    newcomer_tokens_per_s: float,
) -> JoiningCharge:
    """Charge a newcomer with the throughput that the others lose: pool $/h x (1 - beside / alone).

    All throughputs are of the whole pool, over one denominator (output or output-equivalent), at
    the promises of each: of the others without the newcomer, of the others beside it, and its own.
    What a million tokens cost the others stays pool $/h over what they serve alone, so their floors
    do not move. ValueError for throughputs that are not above 0, and where the others serve more
    beside it than alone.
    """
    smallest = min(others_alone_tokens_per_s, others_beside_tokens_per_s, newcomer_tokens_per_s)
    if not smallest > 0:
        raise ValueError(f"a throughput of {smallest} tokens/s serves nothing")
    lost_tokens_per_s = others_alone_tokens_per_s - others_beside_tokens_per_s
    if lost_tokens_per_s < 0:
        raise ValueError(
            f"the others serve {-lost_tokens_per_s} tokens/s more beside it than alone: measure "
            "both at the same promises"
        )
    charge = pool_usd_per_hour * lost_tokens_per_s / others_alone_tokens_per_s
    others = pool_usd_per_hour - charge
    return JoiningCharge(
        lost_tokens_per_s=lost_tokens_per_s,
        usd_per_hour=charge,
        others_usd_per_hour=others,
        newcomer_usd_per_mtok=usd_per_mtok(charge, tokens_per_s=newcomer_tokens_per_s),
        others_usd_per_mtok=usd_per_mtok(others, tokens_per_s=others_beside_tokens_per_s),
    )
