"""Months in the shape of FOCUS 1.2, the FinOps Foundation's specification of cost and usage data.

Charges in, rows out, rows to files. The sum of `BilledCost` is what the ledger has; what has no cost gets no row.
"""
