-- What each workflow cost: one row a trace and tenant that pays for it, moved with the records in one transaction.
-- Lists sort and cut these rows by an index before anything else is read; what they show besides is read of the
-- few that are left.

create table callfare.workflow_total (
  trace_id        uuid not null,
  namespace       text not null,
  tenant_id       text not null check (tenant_id <> ''),
  started_at      timestamptz,
  cost_usd        numeric not null check (cost_usd >= 0 and cost_usd < 'Infinity'),
  request_count   bigint not null check (request_count >= 0),
  unpriced_count  bigint not null check (unpriced_count between 0 and request_count),
  duplicate_count bigint not null check (duplicate_count >= 0),
  llm_calls       bigint not null check (llm_calls between 0 and request_count),
  total_tokens    numeric not null check (total_tokens >= 0),
  primary key (trace_id, namespace, tenant_id)
) with (fillfactor = 80);
comment on column callfare.workflow_total.cost_usd is 'without trailing zeros, so that the view shows it as it is indexed';

insert into callfare.workflow_total
select
  trace_id, namespace, rollup.tenant_id, trace.started_at, trim_scale(sum(cost_usd)), sum(request_count),
  sum(unpriced_count), sum(duplicate_count), sum(llm_calls), sum(input_tokens + output_tokens)
from callfare.workflow_rollup as rollup join callfare.trace using (trace_id, namespace)
group by trace_id, namespace, rollup.tenant_id, trace.started_at;

-- The workflow's own tenant has a row even where it made no call: revenue is shown there, once.
insert into callfare.workflow_total
select trace_id, namespace, tenant_id, started_at, 0, 0, 0, 0, 0, 0
from callfare.trace
where coalesce(workflow_id, workflow_name) is not null or revenue_usd is not null
on conflict do nothing;

create index workflow_total_by_cost on callfare.workflow_total (cost_usd desc);
create index workflow_total_by_tenant_cost on callfare.workflow_total (tenant_id, cost_usd desc);
create index workflow_total_by_start on callfare.workflow_total (started_at);
create index workflow_total_by_tenant_start on callfare.workflow_total (tenant_id, started_at);
-- Whoever looked for traces by their start now does so here.
drop index callfare.trace_by_start;

create or replace view callfare.workflow_cost as
select
  total.tenant_id, total.trace_id,
  coalesce(trace.workflow_id, replace(total.trace_id::text, '-', '')) as workflow_id, trace.workflow_name,
  case when trace.finalised_at is null then trace.state else 'finalised' end as state,
  total.started_at, trace.ended_at,
  total.cost_usd as total_cost_usd, total.unpriced_count, total.duplicate_count, total.llm_calls,
  total.total_tokens::bigint as total_tokens, earned.revenue_usd, trim_scale(fee.fee_usd) as fee_usd,
  -- At most this much where the fee is not known, or the cost of a call is not.
  trim_scale(earned.revenue_usd - coalesce(fee.fee_usd, 0) - total.cost_usd) as profit_usd,
  (select coalesce(jsonb_object_agg(leg, callfare.money_text(cost)), '{}') from (
     select leg, callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count)) as cost
     from callfare.workflow_rollup as each
     where each.trace_id = total.trace_id and each.namespace = total.namespace and each.tenant_id = total.tenant_id
       and each.request_count > 0
     group by leg) as legs) as by_leg,
  (select coalesce(jsonb_object_agg(category, callfare.money_text(cost)), '{}') from (
     select category, callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count)) as cost
     from callfare.workflow_rollup as each
     where each.trace_id = total.trace_id and each.namespace = total.namespace and each.tenant_id = total.tenant_id
       and each.request_count > 0
     group by category) as categories) as by_category,
  trace.state as outcome, trace.finalised_at, total.namespace, total.request_count
from callfare.workflow_total as total
join callfare.trace using (trace_id, namespace)
left join lateral (
  select
    stated.revenue_usd * (not (trace.state = 'failed' and stated.is_earned_by_completion))::int as revenue_usd,
    trace.state = 'failed' and stated.is_earned_by_completion as is_forfeited
  from (
    -- A rule for the outcome `failed` says that failing is paid for. Any other revenue is earned by completion.
    select rule.amount as revenue_usd, false as is_earned_by_completion, 1 as choice, position
    from callfare.revenue_rule as rule cross join callfare.margin_rule
    where trace.state = 'failed' and (trace.revenue_usd is null or not margin_rule.earns_when_failed)
      and rule.workflow = trace.workflow_name and rule.outcome = 'failed'
    union all
    select trace.revenue_usd, not margin_rule.earns_when_failed, 2, 0
    from callfare.margin_rule where trace.revenue_usd is not null
    union all
    select rule.amount, not margin_rule.earns_when_failed, 3, position
    from callfare.revenue_rule as rule cross join callfare.margin_rule
    where trace.revenue_usd is null and rule.workflow = trace.workflow_name
      and (rule.outcome is null or rule.outcome = trace.state
           or (trace.state = 'failed' and not margin_rule.earns_when_failed))
    order by choice, position
    limit 1
  ) as stated
  where total.tenant_id = trace.tenant_id
) as earned on true
left join lateral (
  -- Percent as a factor of 0.01 keeps the product exact; a division would round. Without a rule there is no sum.
  select case when earned.is_forfeited then 0 else sum(earned.revenue_usd * rule.percent * 0.01 + rule.fixed) end as fee_usd
  from callfare.fee_rule as rule
  where earned.revenue_usd is not null
  having earned.revenue_usd is not null
) as fee on true
where total.request_count > 0 or total.duplicate_count > 0
  or (total.tenant_id = trace.tenant_id
      and (coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null));

-- The other side of the totals is the rollup that they are the sum of, which is held against the records.
create view callfare.workflow_total_check as
select 'workflow_total' as problem, tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id) as key,
  to_jsonb(expected) - array['namespace', 'trace_id', 'tenant_id'] as expected,
  to_jsonb(found) - array['namespace', 'trace_id', 'tenant_id'] as found
from (
  select
    namespace, trace_id, tenant_id, trace.started_at, coalesce(sum(cost_usd), 0) as cost_usd,
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
  left join (select namespace, trace_id, started_at from callfare.trace) as trace using (namespace, trace_id)
  group by namespace, trace_id, tenant_id, trace.started_at
) as expected
full join (
  select namespace, trace_id, tenant_id, started_at, cost_usd,
    array[request_count, unpriced_count, duplicate_count, llm_calls, total_tokens]::numeric[] as counts
  from callfare.workflow_total
) as found using (namespace, trace_id, tenant_id)
where found.cost_usd is null
  -- A tenant that no longer pays for anything, nor owns the workflow, keeps a row of zeros.
  or (expected.cost_usd is null and (found.cost_usd <> 0 or 0 < any(found.counts)))
  or expected.cost_usd <> found.cost_usd or expected.counts <> found.counts
  or (expected.cost_usd is not null and expected.started_at is distinct from found.started_at);

-- The checks are views of their own from here on, so that one more does not mean to write all of them again.
alter view callfare.integrity_check rename to record_check;
create view callfare.integrity_check as
select problem, tenant_id, key, expected, found from callfare.record_check
union all
select problem, tenant_id, key, expected, found from callfare.workflow_total_check;
