-- What is not known has no figure: groups of which nothing is priced, and payment fees without a rule.

-- What a group of records cost: its known part, or null where nothing of it is known. Free calls are known.
create function callfare.known_cost(cost_usd numeric, unpriced_count numeric, request_count numeric) returns numeric
  language sql immutable parallel safe
  return case when cost_usd = 0 and unpriced_count > 0 and unpriced_count = request_count then null else cost_usd end;

-- Whether a workflow that failed keeps its revenue, and its payment fee with it. One row.
create table callfare.margin_rule (
  is_only           boolean primary key default true check (is_only),
  earns_when_failed boolean not null
);
insert into callfare.margin_rule (earns_when_failed) values (false);

create or replace view callfare.workflow_cost as
select
  summed.tenant_id, trace.trace_id,
  coalesce(trace.workflow_id, replace(trace.trace_id::text, '-', '')) as workflow_id, trace.workflow_name,
  case when trace.finalised_at is null then trace.state else 'finalised' end as state,
  trace.started_at, trace.ended_at,
  summed.cost_usd as total_cost_usd, summed.unpriced_count, summed.duplicate_count, summed.llm_calls,
  summed.total_tokens, earned.revenue_usd, trim_scale(fee.fee_usd) as fee_usd,
  -- At most this much where the fee is not known, or the cost of a call is not.
  trim_scale(earned.revenue_usd - coalesce(fee.fee_usd, 0) - summed.cost_usd) as profit_usd,
  summed.by_leg, summed.by_category,
  trace.state as outcome, trace.finalised_at, trace.namespace, summed.request_count
from callfare.trace
cross join lateral (
  select
    part.tenant_id, trim_scale(sum(cost_usd)) as cost_usd, sum(unpriced_count)::bigint as unpriced_count,
    sum(duplicate_count)::bigint as duplicate_count, sum(llm_calls)::bigint as llm_calls,
    sum(input_tokens + output_tokens)::bigint as total_tokens, sum(request_count)::bigint as request_count,
    (select coalesce(jsonb_object_agg(leg, callfare.money_text(cost)), '{}') from (
       select leg, callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count)) as cost
       from callfare.workflow_rollup as each
       where each.trace_id = trace.trace_id and each.namespace = trace.namespace and each.tenant_id = part.tenant_id
         and each.request_count > 0
       group by leg) as legs) as by_leg,
    (select coalesce(jsonb_object_agg(category, callfare.money_text(cost)), '{}') from (
       select category, callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count)) as cost
       from callfare.workflow_rollup as each
       where each.trace_id = trace.trace_id and each.namespace = trace.namespace and each.tenant_id = part.tenant_id
         and each.request_count > 0
       group by category) as categories) as by_category
  from (
    select tenant_id, cost_usd, unpriced_count, duplicate_count, llm_calls, input_tokens, output_tokens, request_count
    from callfare.workflow_rollup as each
    where each.trace_id = trace.trace_id and each.namespace = trace.namespace
      and (each.request_count > 0 or each.duplicate_count > 0)
    union all
    -- The workflow's own tenant has its row even where it made no call: revenue is reported there, once.
    select trace.tenant_id, 0, 0, 0, 0, 0, 0, 0
    where coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null
  ) as part
  group by part.tenant_id
) as summed
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
  where summed.tenant_id = trace.tenant_id
) as earned on true
left join lateral (
  -- Percent as a factor of 0.01 keeps the product exact; a division would round. Without a rule there is no sum.
  select case when earned.is_forfeited then 0 else sum(earned.revenue_usd * rule.percent * 0.01 + rule.fixed) end as fee_usd
  from callfare.fee_rule as rule
  where earned.revenue_usd is not null
  having earned.revenue_usd is not null
) as fee on true;

create or replace view callfare.daily_cost as
select
  tenant_id, day, category, provider, model, operation,
  sum(request_count)::bigint as request_count, sum(unpriced_count)::bigint as unpriced_count,
  trim_scale(callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count))) as cost_usd,
  sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
  sum(input_tokens + output_tokens)::bigint as total_tokens, sum(characters)::bigint as characters,
  trim_scale(sum(audio_seconds)) as audio_seconds, trim_scale(sum(call_seconds)) as call_seconds,
  round(sum(duration_ns) / sum(request_count) / 1000000, 3) as avg_latency_ms
from callfare.daily_rollup
group by tenant_id, day, category, provider, model, operation
having sum(request_count) <> 0;

-- What reports group by beyond the keys of the rollups.
create or replace view callfare.record_measure as
select
  namespace, trace_id, tenant_id, category, leg, (started_at at time zone 'UTC')::date as day, provider, model, operation,
  bucket,
  case when status = 'duplicate' then 0 else coalesce(cost_usd, 0) end as cost_usd,
  (status <> 'duplicate')::int as request_count,
  (status in ('unpriced', 'no_usage', 'invalid', 'partial'))::int as unpriced_count,
  (status = 'duplicate')::int as duplicate_count,
  (status <> 'duplicate' and leg = 'llm')::int as llm_calls,
  case when status in ('duplicate', 'invalid') then 0 else callfare.counted(usage, 'input_tokens') end as input_tokens,
  case when status in ('duplicate', 'invalid') then 0 else callfare.counted(usage, 'output_tokens') end as output_tokens,
  case when status in ('duplicate', 'invalid') then 0 else callfare.counted(usage, 'characters') end as characters,
  case when status in ('duplicate', 'invalid') then 0 else callfare.measured(usage, 'audio_seconds') end as audio_seconds,
  case when status in ('duplicate', 'invalid') then 0 else callfare.measured(usage, 'call_seconds') end as call_seconds,
  case when status = 'duplicate' then 0 else duration_ns end as duration_ns,
  started_at, user_id, api_key_id, task, tier
from callfare.record;
