-- Who told of a call, and what was decided on it before later spans moved the decision.
create or replace view callfare.cost_record as
select
  tenant_id, trace_id, callfare.hex16(span_id) as span_id, callfare.hex16(parent_span_id) as parent_span_id,
  started_at,
  started_at + ((started_ns + duration_ns) / 1000) * interval '1 microsecond' as ended_at,
  duration_ns * 0.000000001 as duration_seconds,
  operation, provider, model, service_tier, mode, status, trim_scale(cost_usd) as cost_usd, category, task, tier, user_id, api_key_id,
  service_name, error_type, callfare.hex16(duplicate_of) as duplicate_of, reported_cost_usd,
  usage, callfare.lines_json(lines) as lines, coalesce(issues, '[]'::jsonb) as issues, book_version, received_at,
  leg, duplicate_trace_id, namespace, fact ->> 'scope' as scope
from callfare.record;

alter table callfare.record_revision
  drop constraint record_revision_reason_check,
  add constraint record_revision_reason_check check (reason ~ '^(conflict|settled|rerate:[0-9]+|undo:[0-9]+)$');
