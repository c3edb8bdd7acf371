"""The store: the only SQL. Facts go in and come out; nothing is decided and no money is computed.

Invariant: whatever a command writes, it writes in one transaction, and a fact that is in a table is
never edited.
"""
