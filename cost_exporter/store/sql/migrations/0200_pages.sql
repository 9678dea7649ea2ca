-- Expand: what the pages look for in a ledger of millions of records is found by an index.

-- Whole in the index: how often, of whom and since when something has no cost is counted without a look at the records.
drop index callfare.record_unknown;
create index record_unknown on callfare.record (started_at) include (tenant_id, provider, model, operation, status)
  where status in ('unpriced', 'partial', 'no_usage', 'invalid');

-- As the view `cost_record` shows them, so that a condition on the view is that of the index.
create index record_with_issues on callfare.record (started_at)
  where coalesce(issues, '[]'::jsonb) <> '[]'::jsonb;

-- Without the time: equal names share an entry, which makes seven bytes a record of what would be forty.
create index record_of_api_key on callfare.record (api_key_id) where api_key_id is not null;
create index record_of_user on callfare.record (user_id) where user_id is not null;

-- In the order in which lists show them, where what has no end took no time.
drop index callfare.workflow_total_by_duration;
create index workflow_total_by_duration on callfare.workflow_total
  (coalesce(ended_at - started_at, interval '0') desc, cost_usd desc);

create or replace view callfare.workflow_cost with (security_invoker = true) as
select
  total.tenant_id, total.trace_id,
  coalesce(trace.workflow_id, replace(total.trace_id::text, '-', '')) as workflow_id, trace.workflow_name,
  case when trace.finalised_at is null then trace.state else 'finalised' end as state,
  total.started_at, total.ended_at,
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
