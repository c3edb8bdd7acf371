"""Intake: the payloads of others become events in canonical columns.

Invariant: every row that comes in is either an event in the table or has a verdict that says why
not.
"""
