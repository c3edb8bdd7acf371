"""The ledger: what is posted for a finalized invoice, in double entry.

Invariant: the entries of a transaction sum to zero, and a balance is the fold of all entries.
"""
