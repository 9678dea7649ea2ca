"""Budgets in the ledger's database: set, reserved from, leased to processes, and swept.

definitions   what the operator set, in the configuration file or by the command line and the API
reserving     one call: check, reserve, settle, release
leasing       one process: a slice that it decides on by itself
expiry        what becomes of money whose process is silent
"""
