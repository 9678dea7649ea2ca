"""Files beside the ledger: what is final as immutable Parquet, checked against the ledger, and read by SQL."""
