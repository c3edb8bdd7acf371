"""Usage as facts: units and their leaves, the grid of cuts, and totals over its cells.

Invariant: engines only add integers here; what a count costs is decided elsewhere, after the sums.
"""
