-- Statements of `store/finalise.py`: workflows that are final.

-- finalise_traces --
-- Workflows that were idle for long enough are final. One whose root never came waits longer: it may still run.
with idle as (
  select trace_id, namespace from callfare.trace
  where finalised_at is null
    and last_received_at < %(now)s - case when state = 'running' then %(idle_without_root)s else %(idle)s end
  order by trace_id, namespace
  limit %(count)s
  for update skip locked
), final as (
  update callfare.trace set finalised_at = %(now)s
  from idle
  where trace.trace_id = idle.trace_id and trace.namespace = idle.namespace
  returning trace.trace_id, trace.namespace, trace.tenant_id, trace.record_count, trace.ended_at, trace.roots
)
select
  final.trace_id, final.namespace, final.tenant_id, final.record_count, final.ended_at,
  (select min(root) from jsonb_object_keys(final.roots) as root) as root_span_id,
  coalesce(sum(rollup.cost_usd), 0) as total_cost_usd, coalesce(sum(rollup.unpriced_count), 0)::bigint as unpriced_count
from final left join callfare.workflow_rollup as rollup using (trace_id, namespace)
group by final.trace_id, final.namespace, final.tenant_id, final.record_count, final.ended_at, final.roots;

-- cost_of_final --
-- What workflows that have just become final cost, by tenant, tier and task; their traces are locked meanwhile.
select
  record.trace_id, record.namespace, record.tenant_id, record.tier, record.task,
  sum(record.cost_usd) as cost_usd, sum(record.unpriced_count) as unpriced_count
from unnest(%(trace_id)s::uuid[], %(namespace)s::text[]) as final (trace_id, namespace)
join callfare.trace using (trace_id, namespace)
join callfare.record_measure as record
  on record.bucket = trace.bucket and record.trace_id = trace.trace_id and record.namespace = trace.namespace
where record.request_count > 0
group by record.trace_id, record.namespace, record.tenant_id, record.tier, record.task;

-- queue_final_calls --
-- Their events are for PostHog: the calls of workflows that have just become final.
insert into callfare.posthog_call (namespace, trace_id, span_id)
select record.namespace, record.trace_id, record.span_id
from unnest(%(trace_id)s::uuid[], %(namespace)s::text[]) as final (trace_id, namespace)
join callfare.trace using (trace_id, namespace)
join callfare.record
  on record.bucket = trace.bucket and record.trace_id = trace.trace_id and record.namespace = trace.namespace
where record.status <> 'duplicate'
order by record.started_at, record.span_id;

-- forget_empty_traces --
-- Traces without a provider call, a name or revenue are other people's: forgotten a day after they became quiet.
with empty as (
  select trace_id, namespace from callfare.trace
  where record_count = 0 and finalised_at < %(before)s
    and workflow_id is null and workflow_name is null and revenue_usd is null and not is_joined
    and not exists (select from callfare.bucket where bucket.bucket = trace.bucket and purged_at is not null)
  order by trace_id, namespace
  limit %(count)s
  for update skip locked
), without_total as (
  delete from callfare.workflow_total as total using empty
  where total.trace_id = empty.trace_id and total.namespace = empty.namespace
), without_index as (
  delete from callfare.long_trace using empty
  where long_trace.trace_id = empty.trace_id and long_trace.namespace = empty.namespace
  returning long_trace.number
), without_links as (
  delete from callfare.long_span using without_index where long_span.number = without_index.number
)
delete from callfare.trace using empty
where trace.trace_id = empty.trace_id and trace.namespace = empty.namespace;
