-- Statements of `store/journal.py`: reading the corrections.

-- journal_is_ahead --
-- Whether the journal, or the place where its reader is, has a transaction that this server has not begun yet.
select
  %(transaction_id)s::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot())
  or exists (
    select from callfare.journal
    where kind = 'record' and transaction_id >= pg_snapshot_xmax(pg_current_snapshot())) as is_ahead;

-- corrections_after --
-- Postings of records after a place, of transactions below which all have ended.
select
  posting_id, transaction_id::text::bigint as transaction_id, posted_at, reason, tenant_id, namespace, trace_id,
  callfare.hex16(span_id) as span_id, finalised_at, old_tenant_id, new_tenant_id, old_status, new_status, old_cost_usd,
  new_cost_usd, old_unpriced_count, new_unpriced_count, old_started_at, new_started_at, old_quantities, new_quantities,
  old_labels, new_labels
from callfare.journal
where kind = 'record' and (transaction_id, posting_id) > (%(transaction_id)s::text::xid8, %(posting_id)s::bigint)
  and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
order by transaction_id, posting_id
limit %(count)s;
