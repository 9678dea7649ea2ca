-- Statements of `store/deep_check.py`: what `callfare verify --deep` reads beside what settling reads.

-- traces_after --
-- The next traces in the order of their key.
select uuid_send(trace_id) as trace_id, namespace
from callfare.trace
where trace.trace_id > %(place)s::uuid
order by trace.trace_id, namespace
limit %(count)s;

-- mark_before_locks --
-- Where to go back to.
savepoint before_locks;

-- roll_back_locks --
-- Let go of what was locked since: locks are taken in one order, and there is more to lock.
rollback to savepoint before_locks;

-- trace_headers --
-- What the headers of some traces state.
select
  uuid_send(trace.trace_id) as trace_id, trace.namespace, tenant_id, state, workflow_id, workflow_name, revenue_usd,
  (extract(epoch from started_at) * 1000000)::bigint as started_us,
  (extract(epoch from ended_at) * 1000000)::bigint as ended_us, record_count, is_joined,
  shared_keys <> '' as has_shared_keys,
  exists (
    select from callfare.trace_join
    where trace_join.trace_id = trace.trace_id and trace_join.namespace = trace.namespace
  ) as has_joins
from callfare.trace
join unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as wanted (trace_id, namespace) using (trace_id, namespace);

-- has_purged_months --
-- One row if the records of any month were dropped, and with them the names of its calls.
select 1 from callfare.bucket where purged_at is not null limit 1;

-- unlike_last_posting --
-- Records that are otherwise than the last posting of the journal says that they became. Each change of a record is
-- posted once its workflow is final.
select
  uuid_send(posting.trace_id) as trace_id, posting.namespace, int8send(posting.span_id) as span_id,
  posting.posted_tenant_id, posting.new_tenant_id, posting.new_status, posting.new_cost_usd, record.tenant_id,
  record.status, record.cost_usd
from (
  select distinct on (trace_id, namespace, span_id)
    trace_id, namespace, span_id, kind, tenant_id as posted_tenant_id, new_tenant_id, new_status, new_cost_usd
  from callfare.journal
  join unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as wanted (trace_id, namespace) using (trace_id, namespace)
  where journal.kind in ('record', 'closed')
  order by trace_id, namespace, span_id, posting_id desc
) as posting
join callfare.trace using (trace_id, namespace)
left join callfare.record
  on record.bucket = trace.bucket and record.trace_id = posting.trace_id and record.namespace = posting.namespace
  and record.span_id = posting.span_id
where posting.kind = 'record'
  and not exists (select from callfare.bucket where bucket.bucket = trace.bucket and purged_at is not null)
  and (posting.new_tenant_id, posting.new_status, posting.new_cost_usd)
    is distinct from (record.tenant_id, record.status, record.cost_usd);
