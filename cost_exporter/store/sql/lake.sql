-- Statements of `store/lake.py`: what exports read, and how far each place has come.

-- final_sides --
-- Rows between two places in the order of transactions: the calls of workflows that became final there, as their records
-- are but for postings of later transactions, and the postings of workflows that were final before. A posting is two rows:
-- what it was before with the opposite sign, and what it is now. Part of other statements.
with posting as (
  select
    journal.*,
    -- One of a later transaction is taken out of what the record says by now: it is exported with its own transaction.
    case when transaction_id < %(until)s::text::xid8 then 1 else -1 end as factor
  from callfare.journal
  left join callfare.trace using (trace_id, namespace)
  -- Services from before the column leave it out.
  cross join lateral (
    select coalesce(journal.final_transaction_id, trace.final_transaction_id, '0') as final_id
  ) as workflow
  where kind = 'record' and transaction_id >= %(since)s::text::xid8
    and (old_tenant_id, old_status, old_cost_usd, old_started_at, old_quantities, old_labels, old_quote)
      is distinct from
      (new_tenant_id, new_status, new_cost_usd, new_started_at, new_quantities, new_labels, new_quote)
    and case when transaction_id < %(until)s::text::xid8
      then final_id < %(since)s::text::xid8
      else final_id >= %(since)s::text::xid8 and final_id < %(until)s::text::xid8 end
), side as (
  select
    record.tenant_id, record.namespace, record.trace_id, record.span_id, record.started_at, record.status,
    record.cost_usd, record.usage, record.lines, record.book_version, record.provider, record.model, record.operation,
    record.leg, record.category, record.task, record.tier, record.user_id, record.api_key_id, record.service_tier,
    record.mode, record.parent_span_id, record.duration_ns, record.service_name, record.error_type,
    record.received_at, 1 as sign, null::text as reason, null::bigint as posting_id, null::timestamptz as posted_at
  from callfare.trace
  join callfare.record using (bucket, trace_id, namespace)
  where trace.finalised_at is not null and record.status <> 'duplicate'
    and (trace.final_transaction_id >= %(since)s::text::xid8
      or trace.final_transaction_id is null and %(since)s::text::xid8 = '0')
    and (trace.final_transaction_id < %(until)s::text::xid8 or trace.final_transaction_id is null)
  union all
  select
    each.tenant_id, namespace, trace_id, span_id, each.started_at, each.status, each.cost_usd, each.quantities,
    case jsonb_typeof(each.quote -> 'lines') when 'array' then each.quote -> 'lines' end, each.quote ->> 'book_version',
    coalesce(each.labels ->> 'provider', ''), coalesce(each.labels ->> 'model', ''),
    coalesce(each.labels ->> 'operation', ''), each.labels ->> 'leg', each.labels ->> 'category',
    each.labels ->> 'task', each.labels ->> 'tier', each.labels ->> 'user_id', each.labels ->> 'api_key_id',
    each.quote ->> 'service_tier', each.quote ->> 'mode', null, null, null, null, null,
    each.sign, reason, posting_id, posted_at
  from posting
  cross join lateral (values
    (old_tenant_id, old_status, old_cost_usd, old_started_at, old_quantities, old_labels, old_quote, -factor),
    (new_tenant_id, new_status, new_cost_usd, new_started_at, new_quantities, new_labels, new_quote, factor)
  ) as each (tenant_id, status, cost_usd, started_at, quantities, labels, quote, sign)
  where each.status <> 'duplicate'
);

-- export_rows --
-- What is exported, by day and tenant, under the names of the files' columns. Names of tenants are in the order of their
-- bytes, as Parquet compares them.
{sides}
select
  (side.started_at at time zone 'UTC')::date as day, side.sign, side.leg, side.status,
  case when side.status <> 'invalid' then side.usage::text end as usage,
  side.tenant_id as "SubAccountId", trim_scale(side.cost_usd * side.sign) as "BilledCost",
  side.started_at as "ChargePeriodStart",
  side.started_at + (side.duration_ns / 1000) * interval '1 microsecond' as "ChargePeriodEnd",
  coalesce(nullif(side.provider, ''), 'unknown') as "ProviderName", side.model as "x_Model",
  side.operation as "x_Operation", side.category as "x_CostCategory", side.task as "x_Task", side.tier as "x_Tier",
  trace.workflow_name as "x_WorkflowName", side.user_id as "x_UserId", side.api_key_id as "x_ApiKeyId",
  side.service_tier as "x_ServiceTier", side.mode as "x_Mode", side.service_name as "x_ServiceName",
  side.error_type as "x_ErrorType", side.namespace as "x_Namespace", replace(side.trace_id::text, '-', '') as "x_TraceId",
  callfare.hex16(side.span_id) as "x_SpanId", callfare.hex16(side.parent_span_id) as "x_ParentSpanId",
  side.duration_ns as "x_DurationNs", side.received_at as "x_ReceivedAt", side.book_version as "x_BookVersion",
  case when side.lines is not null then callfare.lines_json(side.lines)::text end as "x_Lines",
  side.reason as "x_CorrectionReason", side.posting_id as "x_PostingId", side.posted_at as "x_PostedAt"
from side
left join callfare.trace using (trace_id, namespace)
order by day, side.tenant_id collate "C", side.started_at, side.trace_id, side.span_id, side.posting_id, side.sign;

-- final_sums --
-- The same added up by tenant and day, with what the records of purged months had added.
{sides}
select
  tenant_id, day, trim_scale(sum(cost_usd)) as cost_usd, sum(request_count)::bigint as request_count,
  sum(unpriced_count)::bigint as unpriced_count, sum(input_tokens) as input_tokens,
  sum(output_tokens) as output_tokens, sum(characters) as characters, trim_scale(sum(audio_seconds)) as audio_seconds,
  trim_scale(sum(call_seconds)) as call_seconds, bool_or(is_purged) as has_purged
from (
  select
    tenant_id, (started_at at time zone 'UTC')::date as day, coalesce(cost_usd, 0) * sign as cost_usd,
    sign as request_count, (status in ('unpriced', 'no_usage', 'invalid', 'partial'))::int * sign as unpriced_count,
    callfare.counted(usage, 'input_tokens') * counts as input_tokens,
    callfare.counted(usage, 'output_tokens') * counts as output_tokens,
    callfare.counted(usage, 'characters') * counts as characters,
    callfare.measured(usage, 'audio_seconds') * counts as audio_seconds,
    callfare.measured(usage, 'call_seconds') * counts as call_seconds, false as is_purged
  from side
  cross join lateral (select case when status = 'invalid' then 0 else sign end as counts) as invalid
  union all
  select
    tenant_id, day, cost_usd, request_count, unpriced_count, input_tokens, output_tokens, characters, audio_seconds,
    call_seconds, true
  from callfare.daily_purged
) as measure
group by tenant_id, day
order by tenant_id, day;

-- snapshot_place --
-- Below which transaction id all have ended, and whether a place lies beyond what this server has begun.
select
  pg_snapshot_xmin(pg_current_snapshot())::text as until,
  %(since)s::text::xid8 > pg_snapshot_xmax(pg_current_snapshot())
    or exists (
      select from callfare.trace where final_transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
    or exists (
      select from callfare.journal
      where kind = 'record' and transaction_id >= pg_snapshot_xmax(pg_current_snapshot())) as is_ahead;

-- export_target --
-- How far a place has come.
select
  target_id, manifest_count, exported_until::text as exported_until, manifest_sha256, pending_token,
  exists (select from callfare.bucket where purged_at < export_target.created_at) as began_after_purge
from callfare.export_target where target_id = %(target_id)s;

-- insert_export_target --
-- A place that nothing was exported to yet.
insert into callfare.export_target (target_id, location) values (%(target_id)s, %(location)s);

-- begin_export --
-- What a run is about to write.
update callfare.export_target
set pending_token = %(token)s, pending_until = %(until)s::text::xid8, location = %(location)s
where target_id = %(target_id)s;

-- commit_export --
-- A manifest is there: what it has is exported.
update callfare.export_target set
  manifest_count = manifest_count + 1, exported_until = pending_until, manifest_sha256 = %(sha256)s,
  exported_at = now(), pending_token = null, pending_until = null
where target_id = %(target_id)s and pending_token = %(token)s;

-- end_empty_export --
-- There was nothing to write: the next run begins later.
update callfare.export_target set
  exported_until = pending_until, exported_at = now(), pending_token = null, pending_until = null
where target_id = %(target_id)s and pending_token = %(token)s;

-- drop_pending_export --
-- A run was killed before its manifest: it exported nothing.
update callfare.export_target set pending_token = null, pending_until = null where target_id = %(target_id)s;
