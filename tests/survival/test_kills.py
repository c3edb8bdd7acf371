"""Killed under load at every point of the way of an event, and at any moment, the service keeps
what it acknowledged, once, with totals and counters (I40 to I42; faults 1 to 7).

Invariant: a point that the way of an event reaches and that no kill hit fails the test.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from tests.survival.killing import Forking, Kill, killed_rounds, made_load, undisturbed

WAY = {
    "write.begun",
    "events.looked_up",
    "events.ids_appended",
    "events.appended",
    "grid.account_set",
    "totals.added",
    "delivery.appended",
    "delivery.refusals_appended",
    "write.uncommitted",
    "write.committed",
}
"""What an event passes at least."""

ROUNDS = 15
"""On each kind of database."""

SOAK_ROUNDS = 500


def drawn_kills(
    reached: Mapping[str, int], *, rounds: int, latest: int, random: Random
) -> list[Kill]:
    """Each point at its first time; then half at any moment, half at any point, at one of its
    first ``latest`` times.
    """
    points = sorted(reached)
    kills = [Kill(point=point) for point in points]
    while len(kills) < rounds:
        point = random.choice(points)
        anywhere = Kill(after_answers=random.randrange(60), after_ms=random.randrange(10))
        somewhere = Kill(point=point, nth=random.randint(1, min(latest, reached[point])))
        kills.append(anywhere if len(kills) % 2 else somewhere)
    random.shuffle(kills)
    return kills


def check_killed(forks: Forking, *, place: str, rounds: int, latest: int, seed: int) -> None:
    """Kill so often, and check that all held and that the kills came where they should."""
    load = made_load(place, seed=seed)
    reached = undisturbed(forks, place=place, load=load)
    assert reached.keys() >= WAY
    kills = drawn_kills(reached, rounds=rounds, latest=latest, random=Random(seed))
    killed = killed_rounds(forks, place=place, load=load, kills=kills)
    print(f"kills by point: {dict(killed.hits)}")
    print(f"requests stored and not answered: {dict(killed.stored_unanswered)}")
    assert load.findings == []
    assert killed.hits == Counter(kill.point for kill in kills)
    assert killed.hits.keys() == {*reached, ""}
    # Between the commit and the answer: those that wait were stored (fault 6).
    assert killed.stored_unanswered["write.committed"] >= killed.hits["write.committed"]


def test_killed_at_each_point_and_at_any_moment_it_keeps_what_it_acknowledged(
    forks: Forking, store_place: str | Path
) -> None:
    check_killed(forks, place=str(store_place), rounds=ROUNDS, latest=3, seed=1)


@pytest.mark.soak
def test_killed_a_thousand_times_it_keeps_what_it_acknowledged(
    forks: Forking, store_place: str | Path
) -> None:
    seed = int(os.environ.get("SOAK_SEED") or Random().randrange(10**9))
    print(f"SOAK_SEED={seed}")
    check_killed(forks, place=str(store_place), rounds=SOAK_ROUNDS, latest=20, seed=seed)
