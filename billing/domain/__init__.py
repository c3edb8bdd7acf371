"""The pure core of the money half: agreements, what they make of charges, tax and invoices.

Invariant: no clock, no I/O, no environment; amounts stay exact until the named rounding sites.
"""
