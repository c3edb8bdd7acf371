"""Webhooks over the network: what messages say, where they may go, and how they are sent.

Invariant: nothing here knows the store; a connection is made to an address that was checked, and to
no other.
"""
