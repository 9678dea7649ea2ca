"""The domain: money, quantities, usage, prices, cost records, rollups. Pure; standard library only.

No IO, no clock, no logging, no threads: what is needed from outside is passed in.
"""
