-- The lists of workflows by cost, duration and unpriced calls, each in the order of an index. The start is part of
-- the indexes by cost: workflows of one cost are many, and a period is then cut without reading the others.

alter table callfare.workflow_total add column ended_at timestamptz;

update callfare.workflow_total as total set ended_at = trace.ended_at
from callfare.trace
where trace.trace_id = total.trace_id and trace.namespace = total.namespace and trace.ended_at is not null;

drop index callfare.workflow_total_by_cost;
drop index callfare.workflow_total_by_tenant_cost;
create index workflow_total_by_cost on callfare.workflow_total (cost_usd desc, started_at desc);
create index workflow_total_by_tenant_cost on callfare.workflow_total (tenant_id, cost_usd desc, started_at desc);
create index workflow_total_by_duration on callfare.workflow_total ((ended_at - started_at) desc nulls last, cost_usd desc);
create index workflow_total_by_unpriced on callfare.workflow_total (unpriced_count desc, cost_usd desc)
  where unpriced_count > 0;

create or replace view callfare.workflow_total_check with (security_invoker = true) as
select 'workflow_total' as problem, tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id) as key,
  to_jsonb(expected) - array['namespace', 'trace_id', 'tenant_id'] as expected,
  to_jsonb(found) - array['namespace', 'trace_id', 'tenant_id'] as found
from (
  select
    namespace, trace_id, tenant_id, trace.started_at, trace.ended_at, coalesce(sum(cost_usd), 0) as cost_usd,
    array[sum(request_count), sum(unpriced_count), sum(duplicate_count), sum(llm_calls),
          sum(input_tokens + output_tokens)]::numeric[] as counts
  from (
    select namespace, trace_id, tenant_id, cost_usd, request_count, unpriced_count, duplicate_count, llm_calls,
      input_tokens, output_tokens
    from callfare.workflow_rollup
    union all
    select namespace, trace_id, tenant_id, 0, 0, 0, 0, 0, 0, 0
    from callfare.trace
    where coalesce(workflow_id, workflow_name) is not null or revenue_usd is not null
  ) as part
  left join (select namespace, trace_id, started_at, ended_at from callfare.trace) as trace using (namespace, trace_id)
  group by namespace, trace_id, tenant_id, trace.started_at, trace.ended_at
) as expected
full join (
  select namespace, trace_id, tenant_id, started_at, ended_at, cost_usd,
    array[request_count, unpriced_count, duplicate_count, llm_calls, total_tokens]::numeric[] as counts
  from callfare.workflow_total
) as found using (namespace, trace_id, tenant_id)
where found.cost_usd is null
  -- A tenant that no longer pays for anything, nor owns the workflow, keeps a row of zeros.
  or (expected.cost_usd is null and (found.cost_usd <> 0 or 0 < any(found.counts)))
  or expected.cost_usd <> found.cost_usd or expected.counts <> found.counts
  or (expected.cost_usd is not null and (expected.started_at, expected.ended_at) is distinct from (found.started_at, found.ended_at));
