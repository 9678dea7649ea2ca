-- Statements of `store/exports.py`: what a month cost, line by line, for files that leave.

-- billed_sides --
-- Every billed call of a month: of a closed one as it was when it was closed, and the corrections billed in it. Part of
-- other statements.
with in_force as (
  select closing_id, tenant_id from callfare.closing where month = %(month)s::date and reopened_at is null
), moved as (
  -- The first posting under a closing has what the closing has on its old side; nothing, where the call came later.
  select distinct on (correction.closing_id, trace_id, span_id, namespace)
    correction.closing_id, posting_id, trace_id, span_id, namespace
  from callfare.correction join in_force using (closing_id) join callfare.journal using (posting_id)
  order by correction.closing_id, trace_id, span_id, namespace, posting_id
), side as (
  select
    record.tenant_id, record.trace_id, record.namespace, record.started_at, record.status, record.cost_usd,
    callfare.spelled_lines(record.lines) as lines, record.book_version, record.provider, record.model, record.operation, record.leg, record.category,
    record.task, record.tier, record.user_id, record.api_key_id, record.service_tier, record.mode,
    1 as sign, false as is_correction
  from callfare.record
  left join in_force as own on own.tenant_id = record.tenant_id
  left join in_force as common on common.tenant_id = '*'
  where record.status <> 'duplicate'
    and record.started_at >= %(month)s::date::timestamp at time zone 'UTC'
    and record.started_at < (%(month)s::date + interval '1 month') at time zone 'UTC'
    and not exists (
      select from moved
      where moved.closing_id = coalesce(own.closing_id, common.closing_id) and moved.trace_id = record.trace_id
        and moved.span_id = record.span_id and moved.namespace = record.namespace)
  union all
  select
    correction.tenant_id, journal.trace_id, journal.namespace, old_started_at, old_status, old_cost_usd,
    case jsonb_typeof(quote -> 'lines') when 'array' then quote -> 'lines' end, quote ->> 'book_version',
    coalesce(old_labels ->> 'provider', ''), coalesce(old_labels ->> 'model', ''),
    coalesce(old_labels ->> 'operation', ''), old_labels ->> 'leg', old_labels ->> 'category', old_labels ->> 'task',
    old_labels ->> 'tier', old_labels ->> 'user_id', old_labels ->> 'api_key_id', quote ->> 'service_tier',
    quote ->> 'mode', 1, false
  from moved
  join callfare.correction using (posting_id, closing_id)
  join callfare.journal using (posting_id)
  where correction.is_reversal and old_status <> 'duplicate'
  union all
  select
    correction.tenant_id, journal.trace_id, journal.namespace, side_of.started_at, side_of.status, side_of.cost_usd,
    case jsonb_typeof(quote -> 'lines') when 'array' then quote -> 'lines' end, quote ->> 'book_version',
    coalesce(side_of.labels ->> 'provider', ''), coalesce(side_of.labels ->> 'model', ''),
    coalesce(side_of.labels ->> 'operation', ''), side_of.labels ->> 'leg', side_of.labels ->> 'category',
    side_of.labels ->> 'task', side_of.labels ->> 'tier', side_of.labels ->> 'user_id', side_of.labels ->> 'api_key_id',
    quote ->> 'service_tier', quote ->> 'mode', case when is_reversal then -1 else 1 end, true
  from callfare.correction
  join callfare.closing using (closing_id)
  join callfare.journal using (posting_id)
  cross join lateral (
    select
      case when is_reversal then old_started_at else new_started_at end as started_at,
      case when is_reversal then old_status else new_status end as status,
      case when is_reversal then old_cost_usd else new_cost_usd end as cost_usd,
      case when is_reversal then old_labels else new_labels end as labels
  ) as side_of
  where correction.billed_month = %(month)s::date and closing.reopened_at is null and side_of.status <> 'duplicate'
);

-- focus_charges --
-- The priced lines of a month, added up by the hour for all that shares a price, its labels and its tenant.
{sides}
select
  date_trunc('hour', side.started_at at time zone 'UTC') as hour, side.tenant_id, provider, model, operation, leg, status,
  category, task, tier, trace.workflow_name, case when %(with_ids)s then user_id end as user_id,
  case when %(with_ids)s then api_key_id end as api_key_id, service_tier, mode, book_version, is_correction, sign,
  line ->> 0 as unit, (line ->> 3)::numeric as unit_price_usd, (line ->> 4)::numeric as per, line ->> 6 as price_id,
  count(*) * sign as line_count, sum((line ->> 1)::numeric) * sign as quantity,
  sum(coalesce(line ->> 2, line ->> 1)::numeric) * sign as billed_quantity,
  sum((line ->> 5)::numeric) * sign as cost_usd
from side
left join callfare.trace using (trace_id, namespace)
cross join lateral jsonb_array_elements(coalesce(side.lines, case when side.cost_usd > 0 then
  jsonb_build_array(jsonb_build_array('charge_usd', side.cost_usd::text, null, '1', '1', side.cost_usd::text, '')) end)) as line
where line ->> 5 is not null and side.status in ('priced', 'reported', 'estimated', 'partial')
  and (%(tenant)s::text is null or side.tenant_id = %(tenant)s)
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22
order by 17, 1, 2, 3, 4, 19;

-- unpriced_charges --
-- The calls of a month whose cost is unknown or only partly known, by what they lack.
{sides}
select
  side.tenant_id, provider, model, operation, status, is_correction,
  coalesce((select string_agg(line ->> 0, ' ' order by line ->> 0) from jsonb_array_elements(side.lines) as line
    where line ->> 5 is null), '') as units_without_price,
  sum(sign)::bigint as request_count, trim_scale(sum(side.cost_usd * sign)) as known_cost_usd,
  min(started_at) as first_started_at, max(started_at) as last_started_at
from side
where status in ('unpriced', 'partial', 'no_usage', 'invalid') and (%(tenant)s::text is null or side.tenant_id = %(tenant)s)
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7;

-- purged_in_month --
-- Whether calls of a month were purged: then their lines are gone.
select exists (
  select from callfare.daily_purged
  where day >= %(month)s::date and day < %(month)s::date + interval '1 month' and request_count > 0
    and (%(tenant)s::text is null or tenant_id = %(tenant)s)) as is_purged;

-- usage_by_day --
-- What the calls of a provider used and cost, by day, model and operation.
select
  (started_at at time zone 'UTC')::date as day, model, operation, count(*) as request_count,
  count(*) filter (where status in ('unpriced', 'partial', 'no_usage', 'invalid')) as unpriced_count,
  trim_scale(sum(cost_usd)) as cost_usd,
  sum(callfare.measured(usage, 'input_tokens')) as input_tokens,
  sum(callfare.measured(usage, 'output_tokens')) as output_tokens,
  sum(callfare.measured(usage, 'cache_read_tokens')) as cache_read_tokens,
  sum(greatest(callfare.measured(usage, 'cache_write_tokens'),
    callfare.measured(usage, 'cache_write_5m_tokens') + callfare.measured(usage, 'cache_write_1h_tokens')))
    as cache_write_tokens,
  sum(callfare.measured(usage, 'web_searches')) as web_searches,
  sum(callfare.measured(usage, 'characters')) as characters,
  sum(callfare.measured(usage, 'audio_seconds')) as audio_seconds,
  sum(coalesce((usage ->> 'calls')::numeric, 1)) as calls,
  sum(coalesce((usage ->> 'messages')::numeric, 1)) as messages,
  sum(coalesce((usage ->> 'requests')::numeric, 1)) as requests
from callfare.cost_record
where provider = %(provider)s and status <> 'duplicate' and started_at >= %(since)s and started_at < %(until)s
  and (%(tenant)s::text is null or tenant_id = %(tenant)s)
group by 1, 2, 3
order by 1, 2, 3;
