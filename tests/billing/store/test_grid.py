"""The grid in versions, the versions of each account, and who is stale."""

from __future__ import annotations

import pytest

from billing.store.agreements import append_agreement
from billing.store.grid import (
    NO_GRID,
    AccountGrid,
    GridVersion,
    account_grid,
    append_grid,
    current_grid,
    read_grid,
    set_account_grid,
    stale_accounts,
)
from billing.store.store import Store
from billing.store.usage_totals import add_totals, replace_totals
from pricing_rules.document import load_json
from pricing_rules.period import CalendarCut
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import NamedWindow, Window
from tests.billing.store.made_rows import agreement, total

NIGHT = load_json(
    Window,
    b'{"zone":"Europe/Berlin","times":[{"weekdays":[5,1],"start_time":"22:00","end_time":"06:00",'
    b'"holidays":"excluded"}],"holidays":["2026-12-25","2026-01-01"]}',
    name="window",
)
GRID = Grid(
    instants_at=(0, 2**62),
    thresholds_tokens=(128_001, 200_001),
    dimensions=("team", "zöne"),
    windows=(NamedWindow(name='a "night"', window=NIGHT),),
    calendar_cuts=(
        CalendarCut(every="day", zone="Asia/Kolkata"),
        CalendarCut(every="month", zone="UTC"),
    ),
)


def test_before_the_first_registration_the_grid_has_no_cuts(store: Store) -> None:
    with store.read() as connection:
        assert current_grid(connection) == NO_GRID
        assert read_grid(connection, version=0) == NO_GRID
    assert NO_GRID.grid == Grid()


def test_versions_follow_one_another_and_each_can_be_read(store: Store) -> None:
    with store.write() as connection:
        first = append_grid(connection, grid=Grid(), reason="start", registered_at=1)
        second = append_grid(connection, grid=GRID, reason="list 1", registered_at=2)
        assert (first, second) == (1, 2)
        newest = GridVersion(version=2, grid=GRID, reason="list 1", registered_at=2)
        assert current_grid(connection) == newest
        assert read_grid(connection, version=2) == newest
        assert read_grid(connection, version=1).grid == Grid()
        assert [one.window for one in current_grid(connection).grid.windows] == [NIGHT]
        with pytest.raises(LookupError, match="3 was never registered"):
            read_grid(connection, version=3)


def test_an_account_without_usage_has_no_versions(store: Store) -> None:
    with store.read() as connection:
        assert account_grid(connection, account="acme") is None


def test_the_versions_of_an_account_are_set_again(store: Store) -> None:
    with store.write() as connection:
        set_account_grid(connection, account="acme", grid_version=0, agreement_version=0)
        set_account_grid(connection, account="acme", grid_version=2, agreement_version=1)
        found = account_grid(connection, account="acme")
    assert found == AccountGrid(account="acme", grid_version=2, agreement_version=1)


def test_an_account_is_stale_after_a_cut_until_it_is_rebuilt(store: Store) -> None:
    with store.write() as connection:
        for account in ("zeta", "acme"):
            set_account_grid(connection, account=account, grid_version=0, agreement_version=0)
            add_totals(connection, totals=[total(account=account)])
        assert stale_accounts(connection) == ()
        append_grid(connection, grid=GRID, reason="list 1", registered_at=1)
        assert stale_accounts(connection) == ("acme", "zeta")
        replace_totals(
            connection, account="acme", totals=[total()], grid_version=1, agreement_version=0
        )
        assert stale_accounts(connection) == ("zeta",)


def test_an_agreement_makes_its_own_account_stale(store: Store) -> None:
    with store.write() as connection:
        for account in ("acme", "globex"):
            set_account_grid(connection, account=account, grid_version=0, agreement_version=0)
            add_totals(connection, totals=[total(account=account)])
        append_agreement(connection, agreement=agreement())
        assert stale_accounts(connection) == ("acme",)


def test_an_account_without_totals_is_never_stale(store: Store) -> None:
    with store.write() as connection:
        set_account_grid(connection, account="acme", grid_version=0, agreement_version=0)
        append_grid(connection, grid=GRID, reason="list 1", registered_at=1)
        assert stale_accounts(connection) == ()
