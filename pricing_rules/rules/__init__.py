"""The rules engine: a policy turns floors into a price book, and a person's word publishes it.

Invariant: the same documents give the same book, byte for byte; every rate carries the steps that
made it; and nothing is sold under its floor, or clamped, without a record that says so.
"""
