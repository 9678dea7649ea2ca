"""The ledger: facts in, receipts out, everything in one transaction.

`committer.py` lets requests share a commit; `ledger.py` is one transaction: lock the traces (`locked_traces.py`),
merge the facts (`trace_state.py`), settle and take the difference (`write_set.py`), write it (`write.py`).
`isolate.py` finds the one span that makes a batch fail.
"""
