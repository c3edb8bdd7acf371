"""Prices: the price book, its ladders, and what usage costs under it, exactly.

Invariant: rates meet counts only after the counts are summed, in exact arithmetic, and nothing
rounds here.
"""
