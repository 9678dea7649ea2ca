-- What the service does to the partitions of `record` though it owns nothing: it makes the next month, and drops one that
-- is purged. Each function does this one thing for whoever may call it, with the rights of the owner of the schema.

create function callfare.make_month(month date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  partition text := format('record_%s', to_char(month, 'YYYY_MM'));
begin
  if extract(day from month) <> 1 then
    raise exception 'a month begins on its first day, not on %', month;
  end if;
  execute format(
    'create table if not exists callfare.%I (like callfare.record including defaults including constraints,'
    ' constraint is_of_its_month check (bucket = %L)) with (fillfactor = 95)', partition, month);
  -- Attached, not made as a partition: that would stop the writers. The check spares the server from reading the table.
  execute format('alter table callfare.record attach partition callfare.%I for values in (%L)', partition, month);
end
$$;

create function callfare.lock_month(month date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format(
    'lock table callfare.%I in share row exclusive mode', format('record_%s', to_char(month, 'YYYY_MM')));
end
$$;

-- Only what was marked as purged, in the same transaction, is dropped.
create function callfare.drop_month(month date) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  partition text := format('record_%s', to_char(month, 'YYYY_MM'));
begin
  if not exists (select from callfare.bucket where bucket = month and purged_at is not null) then
    raise exception 'the month % is not marked as purged', month;
  end if;
  execute format('alter table callfare.record detach partition callfare.%I', partition);
  execute format('drop table callfare.%I', partition);
end
$$;

revoke execute on function callfare.make_month(date), callfare.lock_month(date), callfare.drop_month(date) from public;
