-- A new price-book version is tried on what had no price: found by this index, however large the ledger is.
create index record_unpriced on callfare.record (bucket, trace_id) where status in ('unpriced', 'partial');

alter table callfare.rerate add column only_unpriced boolean not null default false;
