"""Verification: the equations that a store must satisfy, and the damage where it does not.

Invariant: nothing here reads or mends a store; every difference is named with where it is.
"""
