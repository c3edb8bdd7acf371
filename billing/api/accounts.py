"""``/v1/accounts``: which accounts there are.

Invariant: an account's key is told of another account what it is told of one that does not exist.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from billing.api.pages import Cursor, Limit
from billing.api.paths import PathName
from billing.api.problems import not_found
from billing.api.service import Service
from billing.operations.stored_events import account_page, known_account
from billing.store.accounts import KnownAccount
from pricing_rules.document import Document
from pricing_rules.period import moment_text

ACCOUNTS = "/v1/accounts"
ACCOUNT = "/v1/accounts/{account}"

routes = APIRouter()


class AccountsQuery(Document):
    """Which page of the accounts."""

    limit: Limit = 100
    cursor: Cursor = None


class AccountDocument(Document):
    """An account: it has usage, an agreement or an API key.

    ``agreement_version``: of its newest agreement. ``first_occurred_at``, ``last_occurred_at``: of
    its events. Null: it has none.
    """

    account: str
    agreement_version: int | None
    first_occurred_at: str | None
    last_occurred_at: str | None


class AccountsDocument(Document):
    """A page of accounts, by name; ``cursor`` is null on the last one."""

    data: list[AccountDocument]
    cursor: str | None


@routes.get(ACCOUNTS, response_model=AccountsDocument, summary="Accounts")
async def get_accounts(request: Request, *, query: Annotated[AccountsQuery, Query()]) -> Any:
    """Those that have usage, an agreement or an API key. One that is new meanwhile is on a later
    page where its name lies there.
    """
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", ACCOUNTS))
    page = await service.reading(
        lambda: account_page(service.store, limit=query.limit, cursor=query.cursor)
    )
    return AccountsDocument(data=[_document(one) for one in page.rows], cursor=page.cursor)


@routes.get(ACCOUNT, response_model=AccountDocument, summary="One account")
async def get_account(request: Request, *, account: Annotated[PathName, Path()]) -> Any:
    """404 where nothing is known of it."""
    service: Service = request.app.state.service
    key = await service.access.admit(request, route=("GET", ACCOUNT))
    if key.account not in ("", account):
        raise not_found()

    def found() -> KnownAccount:
        with service.store.read() as connection:
            return known_account(connection, account=account)

    return _document(await service.reading(found))


def _document(known: KnownAccount) -> AccountDocument:
    first_at, last_at = known.first_occurred_at, known.last_occurred_at
    return AccountDocument(
        account=known.account,
        agreement_version=known.agreement_version,
        first_occurred_at=None if first_at is None else moment_text(first_at),
        last_occurred_at=None if last_at is None else moment_text(last_at),
    )
