-- Statements of `store/database/buckets.py`: the monthly partitions of `record`.

-- insert_bucket --
-- Note a month.
insert into callfare.bucket (bucket) values (%(bucket)s) on conflict do nothing;

-- purged_bucket --
-- One row if the records of a month were dropped.
select 1 from callfare.bucket where bucket = %(bucket)s and purged_at is not null;

-- attached_partition --
-- One row if a table is a partition of `record`.
select 1 from pg_inherits where inhparent = 'callfare.record'::regclass and inhrelid = to_regclass(%(partition)s);

-- make_partition --
-- The table of a month, not yet a partition.
create table if not exists {partition} (
  like callfare.record including defaults including constraints,
  constraint is_of_its_month check (bucket = {month})
) with (fillfactor = 95);

-- attach_partition --
-- The check of the table spares the server from reading it.
alter table callfare.record attach partition {partition} for values in ({month});
