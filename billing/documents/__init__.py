"""What a customer receives: invoices as files to read and to file.

Invariant: a document prints recorded figures. It adds nothing up and rounds nothing, and what it
cannot print exactly it refuses by name.
"""

from __future__ import annotations

from billing.documents.invoice_pdf import render_invoice

__all__ = ["render_invoice"]
