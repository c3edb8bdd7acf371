"""What the commands that need files alone share: their options.

Invariant: the same option means the same in each of them.
"""

from __future__ import annotations

from pathlib import Path

import click

price_books_option = click.option(
    "--price-book",
    "price_books",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A price book; repeat it for a price change inside the period.",
)

usage_option = click.option(
    "--usage",
    type=click.Path(path_type=Path),
    required=True,
    help="CloudEvents JSON lines (.jsonl), CSV or Parquet.",
)
