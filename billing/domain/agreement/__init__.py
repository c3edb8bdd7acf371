"""The agreement: what one account accepted, and who invoices whom.

Invariant: an agreement names every figure that an invoice applies beside the price book.
"""
