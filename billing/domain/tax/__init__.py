"""Tax: the two rounding sites of an invoice, net per tax category and the tax on it.

Invariant: each amount is rounded once, half away from zero, and net + tax = gross in minor units.
"""
