-- Expand: `drop_month` holds what it says of itself; older services call it as before.
--
-- Only what was marked as purged in the same transaction is dropped: there the records went into the closing balances.
-- `now()` is when the transaction began, so a mark that was made earlier is another one.
create or replace function callfare.drop_month(month date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  partition text := format('record_%s', to_char(month, 'YYYY_MM'));
begin
  if not exists (select from callfare.bucket where bucket = month and purged_at = now()) then
    raise exception 'the month % is not marked as purged in this transaction', month;
  end if;
  execute format('alter table callfare.record detach partition callfare.%I', partition);
  execute format('drop table callfare.%I', partition);
end
$$;
