-- Statements of `store/database/buckets.py`: the monthly partitions of `record`.

-- insert_bucket --
-- Note a month.
insert into callfare.bucket (bucket) values (%(bucket)s) on conflict do nothing;

-- purged_bucket --
-- One row if the records of a month were dropped.
select 1 from callfare.bucket where bucket = %(bucket)s and purged_at is not null;

-- purged_among --
-- Those of some months whose records were dropped.
select bucket - date '1970-01-01' from callfare.bucket
where bucket = any(%(buckets)s::date[]) and purged_at is not null;

-- attached_partition --
-- One row if a table is a partition of `record`.
select 1 from pg_inherits where inhparent = 'callfare.record'::regclass and inhrelid = to_regclass(%(partition)s);

-- make_month --
-- The table of a month as a partition, by the rights of the schema's owner. One that was detached is attached again.
select callfare.make_month(%(bucket)s);
