"""Engines: usage totals over raw events.

Invariant: an engine groups and adds integers and nothing else; prices are applied afterwards, to
its totals.
"""
