"""The harness of the kills finds bugs that are planted into the service: it can fail.

Invariant: each planted bug is found by what it damages, not by an accident of how it is planted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.survival.killing import Forking, Kill, killed_rounds, made_load
from tests.survival.planted_bugs import PLANTED

AGAIN = "expected and got [('duplicate', 'acc"
FOUND_BY = {
    # What was lost is missing, or it is taken as new when it is sent again.
    "acknowledge_before_commit": ("write.uncommitted", ("event_ids: ", AGAIN)),
    "totals_in_another_transaction": ("write.committed", ("totals: ",)),
    "duplicates_known_until_restart": ("write.committed", (AGAIN,)),
    "refusals_not_recorded": ("", ("counters are ",)),
}
"""The point of a kill that shows it, and a part of what is found, one of these at least."""


def test_every_planted_bug_is_found_by_a_kill_of_its_own() -> None:
    assert FOUND_BY.keys() == PLANTED.keys()


@pytest.mark.parametrize("bug", [*FOUND_BY, ""])
def test_a_planted_bug_is_found(forks: Forking, store_path: Path, bug: str) -> None:
    point, said = FOUND_BY.get(bug, ("write.committed", ()))
    place = str(store_path)
    load = made_load(place, seed=2)
    kills = [Kill(point=point, nth=nth, after_answers=300) for nth in (3, 5, 7)]
    killed_rounds(forks, place=place, load=load, kills=kills, bug=bug)
    print(load.findings)
    found = any(part in one for one in load.findings for part in said)
    assert found if bug else load.findings == []
