-- Statements of `store/rerate.py`: pricing stored records again.

-- traces_to_rerate --
-- The next traces of one month with records in a period, in the order of the key, after the last one that was done.
-- One month at a time: then the key of its partition gives the order, and nothing is sorted.
select distinct record.bucket, uuid_send(record.trace_id) as trace_id, record.namespace, record.trace_id as place
from callfare.record
where record.bucket = %(bucket)s and record.trace_id > %(last_trace)s::uuid
  and started_at >= %(since)s and started_at < %(until)s
  and (%(tenant)s::text is null or tenant_id = %(tenant)s)
order by record.trace_id, record.namespace
limit %(count)s;

-- unpriced_traces_to_rerate --
-- The same, where only what has no price yet is tried again.
select distinct record.bucket, uuid_send(record.trace_id) as trace_id, record.namespace, record.trace_id as place
from callfare.record
where record.bucket = %(bucket)s and record.trace_id > %(last_trace)s::uuid
  and status in ('unpriced', 'partial')
  and started_at >= %(since)s and started_at < %(until)s
  and (%(tenant)s::text is null or tenant_id = %(tenant)s)
order by record.trace_id, record.namespace
limit %(count)s;

-- months_after --
-- The months that may hold records, from the one on where a re-rating stopped.
select bucket from callfare.bucket where bucket >= %(bucket)s and purged_at is null order by bucket;

-- traces_to_undo --
-- The next traces that a re-rating changed. In the order of the bare id: by `uuid_send(...)` all of them would be sorted.
select distinct uuid_send(trace_id) as trace_id, namespace, trace_id as place
from callfare.record_revision
where reason = %(reason)s and record_revision.trace_id > %(last_trace)s::uuid
order by place, namespace
limit %(count)s;

-- quotes_before --
-- The quotes that a re-rating replaced in some traces.
select uuid_send(trace_id) as trace_id, namespace, decode(span_id, 'hex') as span_id, content_hash, content::text as content
from callfare.record_revision
join unnest(%(trace_id)s::uuid[], %(namespace)s::text[]) as wanted (trace_id, namespace) using (trace_id, namespace)
where reason = %(reason)s;

-- rerates --
-- Every re-rating that wrote anything, the latest first.
select rerate_id, state, since, until, tenant_id, only_unpriced, records, before_usd, after_usd, book_version,
  created_at, applied_at, undone_at
from callfare.rerate order by rerate_id desc;

-- begin_rerate --
-- The audit row of a re-rating.
-- Numbered by what is there, not by a sequence, which a transaction that is rolled back would use up.
insert into callfare.rerate (rerate_id, since, until, tenant_id, book_version, only_unpriced, state)
overriding system value
select coalesce(max(rerate_id), 0) + 1, %(since)s, %(until)s, %(tenant)s, %(book_version)s, %(only_unpriced)s, 'applying'
from callfare.rerate
returning rerate_id;

-- step_rerate --
-- How far it came; in the transaction of the step itself, so that it goes on exactly where it stopped.
update callfare.rerate set
  last_bucket = %(last_bucket)s, last_trace = %(last_trace)s, records = records + %(records)s,
  before_usd = before_usd + %(before_usd)s, after_usd = after_usd + %(after_usd)s
where rerate_id = %(rerate_id)s;

-- end_rerate --
-- It is done.
update callfare.rerate set
  state = %(state)s, last_bucket = null, last_trace = null,
  applied_at = case when %(state)s = 'applied' then now() else applied_at end,
  undone_at = case when %(state)s = 'undone' then now() end
where rerate_id = %(rerate_id)s;

-- rerate --
-- One re-rating.
select * from callfare.rerate where rerate_id = %(rerate_id)s;
