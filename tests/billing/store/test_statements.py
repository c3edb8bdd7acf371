"""Statements that the driver runs itself fail as those of SQLAlchemy do.

Invariant: what is asked here is asked of both stores.
"""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from billing.store.statements import run, run_each
from billing.store.store import Store, StoreError
from tests.billing.operations.made_ingest import own_store

SEAL = "INSERT INTO epochs (epoch, sealed_at) VALUES (1, 5)"


def test_a_statement_gives_its_rows(store: Store) -> None:
    with store.write() as connection:
        run(connection, statement=SEAL)
        assert run(connection, statement="SELECT epoch, sealed_at FROM epochs").fetchall() == [
            (1, 5)
        ]
    with store.read() as connection:
        assert run(connection, statement="SELECT sealed_at FROM epochs").fetchone() == (5,)


def test_what_is_refused_is_an_error_of_sqlalchemy_and_leaves_nothing(store: Store) -> None:
    def seal_twice() -> None:
        with store.write() as connection:
            run(connection, statement=SEAL)
            run(connection, statement=SEAL)

    with pytest.raises(IntegrityError) as error:
        seal_twice()
    assert error.value.statement == SEAL
    assert error.value.orig is error.value.__cause__
    with store.read() as connection:
        assert run(connection, statement="SELECT count(*) FROM epochs").fetchone() == (0,)


def test_what_the_database_cannot_read_is_an_error_too(store: Store) -> None:
    with pytest.raises((DBAPIError, StoreError)), store.read() as connection:
        run(connection, statement="SELECT songs FROM epochs")


def test_a_statement_for_each_of_some_rows_says_how_many_it_changed() -> None:
    # On SQLite alone: PostgreSQL has rows copied.
    with own_store() as (_, store), store.write() as connection:
        free = "INSERT INTO epochs (epoch, sealed_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        assert run_each(connection, statement=free, rows=[(1, 5), (2, 6)]) == 2
        # 2 is taken, 3 is not.
        assert run_each(connection, statement=free, rows=[(2, 7), (3, 8)]) == 1
        with pytest.raises(IntegrityError):
            run_each(connection, statement=free.partition(" ON")[0], rows=[(4, 9), (1, 9)])
