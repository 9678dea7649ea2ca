-- Statements of `store/posthog.py`: calls whose events wait for PostHog.

-- queue_corrected_calls --
-- Calls that changed after their workflow was final.
insert into callfare.posthog_call (namespace, trace_id, span_id)
select namespace, trace_id, ('x' || span_id)::bit(64)::bigint
from unnest(%(namespace)s::text[], %(trace_id)s::uuid[], %(span_id)s::text[]) as corrected (namespace, trace_id, span_id);

-- follow_journal_from_now --
-- Where nobody has followed the journal, or not for so long that what was final meanwhile was not sent either, or where
-- the place is of another server, from which the ledger was restored.
insert into callfare.posthog_place as place (transaction_id, posting_id)
values (pg_snapshot_xmin(pg_current_snapshot()), 0)
on conflict (is_only_row) do update set
  transaction_id = excluded.transaction_id, posting_id = 0, read_at = now()
where place.read_at < now() - %(age)s::interval or place.transaction_id >= pg_snapshot_xmax(pg_current_snapshot());

-- posthog_place --
-- Up to where the journal was read.
select
  transaction_id::text::bigint as transaction_id, posting_id, read_at < now() - interval '10 minutes' as is_old,
  transaction_id >= pg_snapshot_xmax(pg_current_snapshot()) as is_ahead
from callfare.posthog_place;

-- move_posthog_place --
-- The journal was read up to here.
update callfare.posthog_place set
  transaction_id = %(transaction_id)s::text::xid8, posting_id = %(posting_id)s, read_at = now();

-- calls_for_posthog --
-- The calls that wait longest, as they are now. What an event is found by there (name, time and person) stays as it was
-- when the workflow became final.
with waiting as (
  select call_id, namespace, trace_id, span_id from callfare.posthog_call order by call_id limit %(count)s
)
select
  waiting.call_id, waiting.namespace, waiting.trace_id, callfare.hex16(waiting.span_id) as span_id,
  record.trace_id is not null as is_there, coalesce(last.is_gone, false) as is_gone,
  coalesce(record.tenant_id, first.old_tenant_id) as tenant_id, record.status, trim_scale(record.cost_usd) as cost_usd,
  coalesce(record.operation, first.old_labels ->> 'operation', '') as operation,
  coalesce(record.provider, first.old_labels ->> 'provider', '') as provider,
  coalesce(record.model, first.old_labels ->> 'model', '') as model,
  coalesce(record.category, first.old_labels ->> 'category') as category, record.task, record.tier,
  record.service_name, record.error_type, record.duration_ns, record.usage, callfare.spelled_lines(record.lines) as lines,
  record.book_version, trace.workflow_id, trace.workflow_name,
  coalesce(first.old_started_at, record.started_at) as event_at,
  coalesce(first.old_labels ->> 'operation', record.operation, '') as event_operation,
  case when first.old_labels is null then record.user_id else first.old_labels ->> 'user_id' end as person
from waiting
left join callfare.trace on trace.trace_id = waiting.trace_id and trace.namespace = waiting.namespace
left join callfare.record
  on record.bucket = trace.bucket and record.trace_id = waiting.trace_id and record.namespace = waiting.namespace
  and record.span_id = waiting.span_id
left join lateral (
  select old_started_at, old_labels, old_tenant_id from callfare.journal
  where journal.kind = 'record' and journal.trace_id = waiting.trace_id and journal.span_id = waiting.span_id
    and journal.namespace = waiting.namespace and old_status is not null
  order by posting_id limit 1
) as first on true
left join lateral (
  select new_status is null as is_gone from callfare.journal
  where journal.kind = 'record' and journal.trace_id = waiting.trace_id and journal.span_id = waiting.span_id
    and journal.namespace = waiting.namespace
  order by posting_id desc limit 1
) as last on true
order by waiting.call_id;

-- delete_posthog_calls --
-- Their events were taken, or refused permanently.
delete from callfare.posthog_call where call_id = any(%(call_ids)s);

-- count_dropped_events --
-- Events that were dropped.
update callfare.posthog_place set dropped_count = dropped_count + %(count)s;

-- drop_old_posthog_calls --
-- Drop and count what waited too long.
with gone as (
  delete from callfare.posthog_call where waiting_since < now() - %(age)s::interval returning call_id
), counted as (
  select count(*) as call_count from gone
)
update callfare.posthog_place set dropped_count = dropped_count + counted.call_count from counted
returning counted.call_count;
