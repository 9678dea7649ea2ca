"""The long trial: faults for as long as one likes, in stages that add to their totals (`make trust`).

`state.py` keeps the totals, `service.py` runs what is tried, `stages.py` does it, `__main__.py` decides for how long.
"""
