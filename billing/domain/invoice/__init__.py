"""Invoices: what is due for a period, as a document that adds up.

Invariant: the lines add up to the amount that is taxed, and net + tax = total, in minor units.
"""
