-- Statements of `store/browsing.py`: what people and programs look through, page by page or as a stream.

-- workflow_list --
-- The workflows of a period that fit a filter, with what was paid for, from a place of an order on.
select
  listed.*, greatest(extract(epoch from listed.ended_at - listed.started_at), 0) as duration_seconds,
  used.characters, used.audio_seconds, used.call_seconds
from (
  select * from callfare.workflow_cost as workflow
  where started_at >= %(since)s and started_at < %(until)s
    and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and (%(trace_id)s::uuid is null or trace_id = %(trace_id)s)
    and (%(workflow_id)s::text is null or workflow_id = %(workflow_id)s)
    and (%(name)s::text is null or position(lower(%(name)s) in lower(workflow_name)) > 0)
    and (%(outcome)s::text is null or outcome = %(outcome)s)
    and (not %(only_unpriced)s or unpriced_count > 0)
    and {among}
    and {seek}
  order by {order}
  limit %(count)s
) as listed
cross join lateral (
  select
    coalesce(sum(characters), 0)::bigint as characters, trim_scale(coalesce(sum(audio_seconds), 0)) as audio_seconds,
    trim_scale(coalesce(sum(call_seconds), 0)) as call_seconds
  from callfare.workflow_rollup as each
  where each.trace_id = listed.trace_id and each.namespace = listed.namespace and each.tenant_id = listed.tenant_id
) as used
order by {order};

-- traces_of_caller --
-- The traces with a call of a user or an API key, if they are few: one more than `count` shows that they are not.
select distinct trace_id from callfare.cost_record
where started_at >= %(since)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
  and (%(trace_id)s::uuid is null or trace_id = %(trace_id)s)
  and (%(user)s::text is null or user_id = %(user)s) and (%(api_key)s::text is null or api_key_id = %(api_key)s)
limit %(count)s + 1;

-- workflows_of_caller --
-- The condition on a workflow that a user or an API key has a call in it.
exists (
  select from callfare.cost_record as call
  where call.trace_id = workflow.trace_id and call.tenant_id = workflow.tenant_id
    and (%(user)s::text is null or call.user_id = %(user)s)
    and (%(api_key)s::text is null or call.api_key_id = %(api_key)s));

-- call_list --
-- The provider calls of a period that fit a filter, duplicates included, by tenant and time: as an index has them, so
-- that the first are there before the last are found.
select * from callfare.cost_record
where started_at >= %(since)s and started_at < %(until)s
  and (%(tenant)s::text is null or tenant_id = %(tenant)s)
  and (%(trace_id)s::uuid is null or trace_id = %(trace_id)s)
  and (%(user)s::text is null or user_id = %(user)s)
  and (%(api_key)s::text is null or api_key_id = %(api_key)s)
order by tenant_id, started_at, trace_id, span_id;

-- model_breakdown --
-- What each model of a period cost, with its mean latency.
select
  provider, model, trim_scale(callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count))) as cost_usd,
  sum(unpriced_count)::bigint as unpriced_count, sum(request_count)::bigint as request_count,
  sum(input_tokens + output_tokens)::bigint as total_tokens, trim_scale(sum(audio_seconds)) as audio_seconds,
  trim_scale(sum(call_seconds)) as call_seconds, sum(characters)::bigint as characters,
  round(sum(duration_ns) / sum(request_count) / 1000000, 3) as avg_latency_ms
from callfare.daily_rollup
where day >= (%(since)s at time zone 'UTC')::date and day < (%(until)s at time zone 'UTC')::date
  and (%(tenant)s::text is null or tenant_id = %(tenant)s)
group by provider, model
having sum(request_count) <> 0
order by 3 desc nulls last, provider, model
limit %(count)s;

-- request_times --
-- When the first and the last call of a period started. Each tenant's are found by the index of its records.
select min(first.started_at) as first_request_at, max(last.started_at) as last_request_at
from (
  select distinct tenant_id from callfare.daily_cost
  where day >= (%(since)s at time zone 'UTC')::date and day < (%(until)s at time zone 'UTC')::date
    and (%(tenant)s::text is null or tenant_id = %(tenant)s)
) as payer
cross join lateral (
  select started_at from callfare.cost_record as call
  where call.tenant_id = payer.tenant_id and started_at >= %(since)s and started_at < %(until)s
    and status <> 'duplicate'
  order by started_at limit 1
) as first
cross join lateral (
  select started_at from callfare.cost_record as call
  where call.tenant_id = payer.tenant_id and started_at >= %(since)s and started_at < %(until)s
    and status <> 'duplicate'
  order by started_at desc limit 1
) as last;

-- unpriced_list --
-- What has no cost, or only a part of it, by model and reason, the most frequent first, with the newest call of each.
-- By tenant first: counting distinct tenants would sort every one of these calls.
select
  grouped.provider, grouped.model, grouped.operation, grouped.status, grouped.request_count, grouped.tenant_count,
  grouped.first_seen_at, grouped.last_seen_at, newest.trace_id, newest.span_id, newest.usage, newest.issues
from (
  select provider, model, operation, status, sum(request_count)::bigint as request_count, count(*) as tenant_count,
    min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at
  from (
    select provider, model, operation, status, tenant_id, count(*) as request_count,
      min(started_at) as first_seen_at, max(started_at) as last_seen_at
    from callfare.cost_record
    where status in ('unpriced', 'partial', 'no_usage', 'invalid')
      and started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    group by provider, model, operation, status, tenant_id
  ) as of_tenant
  group by provider, model, operation, status
  order by sum(request_count) desc, provider, model, operation, status
  limit %(count)s
) as grouped
cross join lateral (
  select * from callfare.cost_record as call
  where call.status in ('unpriced', 'partial', 'no_usage', 'invalid') and call.started_at = grouped.last_seen_at
    and call.provider = grouped.provider and call.model = grouped.model and call.operation = grouped.operation
    and call.status = grouped.status and (%(tenant)s::text is null or call.tenant_id = %(tenant)s)
  order by call.trace_id desc, call.span_id desc, call.tenant_id desc
  limit 1
) as newest
order by grouped.request_count desc, grouped.provider, grouped.model, grouped.operation, grouped.status;

-- margin_of_period --
-- Revenue, fee and cost of the workflows of a period for which a revenue is known.
select
  count(*) as workflow_count, sum(revenue_usd) as revenue_usd, sum(fee_usd) as fee_usd,
  sum(total_cost_usd) as total_cost_usd, sum(profit_usd) as profit_usd,
  count(*) filter (where fee_usd is null or unpriced_count > 0) as upper_bound_count
from callfare.workflow_cost
where started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
  and revenue_usd is not null;

-- tenants_of_period --
-- The tenants that paid for anything in a period.
select distinct tenant_id from callfare.daily_cost
where day >= (%(since)s at time zone 'UTC')::date and day < (%(until)s at time zone 'UTC')::date
order by tenant_id
limit %(count)s;
