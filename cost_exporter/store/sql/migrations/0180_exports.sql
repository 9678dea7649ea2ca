-- Exports: in which transaction each workflow became final, what a posting says beyond its figures, and how far each
-- place that files are exported to has come.
--
-- An export takes what lies below `pg_snapshot_xmin` of its snapshot: there all transactions have ended. What was final
-- before this step has no transaction id, and is part of the first export of each place.

alter table callfare.trace add column final_transaction_id xid8;
comment on column callfare.trace.final_transaction_id is 'the transaction in which it became final';

-- By a trigger, so that a service of an older version, which runs beside this one for a while, passes over nothing.
-- Ingest never names this column, so it pays nothing for it.
create function callfare.stamp_final() returns trigger language plpgsql as $$
begin
  new.final_transaction_id := case when new.finalised_at is not null then pg_current_xact_id() end;
  return new;
end
$$;

create trigger final_transaction before update of finalised_at on callfare.trace
for each row when (new.finalised_at is distinct from old.finalised_at) execute function callfare.stamp_final();

create index trace_final on callfare.trace (final_transaction_id) where final_transaction_id is not null;

alter table callfare.journal add column final_transaction_id xid8;
alter table callfare.journal add column old_quote jsonb;
alter table callfare.journal add column new_quote jsonb;
comment on column callfare.journal.final_transaction_id is 'that of its workflow, which may be forgotten by now';

-- What was begun is here before the first file, so that a killed run is told from a restored database.
create table callfare.export_target (
  target_id        uuid primary key,
  location         text not null,
  created_at       timestamptz not null default now(),
  manifest_count   integer not null default 0 check (manifest_count >= 0),
  exported_until   xid8 not null default '0',
  manifest_sha256  text check (manifest_sha256 ~ '^[0-9a-f]{64}$'),
  exported_at      timestamptz,
  pending_token    text check (pending_token ~ '^[0-9a-f]{32}$'),
  pending_until    xid8,
  check ((manifest_count = 0) = (manifest_sha256 is null)),
  check ((pending_token is null) = (pending_until is null))
);
