"""The money half: usage events become usage totals, charges, invoices, ledger entries and payments."""
