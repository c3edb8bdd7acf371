"""Charging: exact charges under an agreement, with its discounts as amounts of their own.

Invariant: a charge is never changed; what an agreement takes off stands beside it.
"""
