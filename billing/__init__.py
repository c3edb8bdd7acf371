"""The money half: usage events become totals, charges, invoices, ledger entries and payments."""
