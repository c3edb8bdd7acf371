"""Short statements, run by the driver itself.

What SQLAlchemy does for each statement costs more than a short one does: those of a transaction
that takes usage in are written out, and go past it.

Invariant: what the driver raises is dressed as SQLAlchemy dresses it, and a connection that was
lost is given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def run(connection: Connection, *, statement: str, parameters: Sequence[Any] = ()) -> Any:
    """Run one statement in the transaction of a connection; gives the cursor of the driver.

    The statement marks its parameters as the driver does.
    """
    driver: Any = connection.connection.driver_connection
    try:
        return driver.execute(statement, parameters)
    except connection.dialect.loaded_dbapi.Error as error:
        raise dressed(connection, statement=statement, driver=driver, error=error) from error


def run_each(connection: Connection, *, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement of SQLite for each of some rows of parameters; gives how many it changed."""
    driver: Any = connection.connection.driver_connection
    try:
        changed: int = driver.executemany(statement, rows).rowcount
    except connection.dialect.loaded_dbapi.Error as error:
        raise dressed(connection, statement=statement, driver=driver, error=error) from error
    return changed


def dressed(connection: Connection, *, statement: str, driver: Any, error: Any) -> BaseException:
    """An error of the driver's connection as SQLAlchemy raises it."""
    lost = bool(connection.dialect.is_disconnect(error, driver, None))
    if lost:
        connection.invalidate(error)
    base = connection.dialect.loaded_dbapi.Error
    found: BaseException = DBAPIError.instance(
        statement, None, error, base, connection_invalidated=lost
    )
    return found
