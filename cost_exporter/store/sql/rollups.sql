-- Statements of `store/ledger/rollups.py`: the sums that move with every change of a record.

-- update_workflow_rollup --
-- Move sums that exist already; the traces are locked, so nobody else moves them. Returns which ones those were.
-- An update of its own: an upsert would hold the difference itself, which may be negative, against the constraints.
update callfare.workflow_rollup as rollup set
  cost_usd = rollup.cost_usd + new.cost_usd::numeric,
  request_count = rollup.request_count + new.request_count,
  unpriced_count = rollup.unpriced_count + new.unpriced_count,
  duplicate_count = rollup.duplicate_count + new.duplicate_count,
  llm_calls = rollup.llm_calls + new.llm_calls,
  input_tokens = rollup.input_tokens + new.input_tokens::numeric,
  output_tokens = rollup.output_tokens + new.output_tokens::numeric,
  characters = rollup.characters + new.characters::numeric,
  audio_seconds = rollup.audio_seconds + new.audio_seconds::numeric,
  call_seconds = rollup.call_seconds + new.call_seconds::numeric,
  duration_ns = rollup.duration_ns + new.duration_ns::numeric
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(tenant_id)b::text[], %(category)b::text[], %(leg)b::text[],
  %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[],
  %(duplicate_count)b::bigint[], %(llm_calls)b::bigint[], %(input_tokens)b::text[], %(output_tokens)b::text[],
  %(characters)b::text[], %(audio_seconds)b::text[], %(call_seconds)b::text[], %(duration_ns)b::text[]
) as new (
  trace_id, namespace, tenant_id, category, leg, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
where rollup.trace_id = new.trace_id and rollup.namespace = new.namespace and rollup.tenant_id = new.tenant_id
  and rollup.category = new.category and rollup.leg = new.leg;

-- add_workflow_rollup --
-- Begin the sums that do not exist yet; those that do were moved by the statement before, in this transaction.
insert into callfare.workflow_rollup (
  trace_id, namespace, tenant_id, category, leg, cost_usd, request_count, unpriced_count, duplicate_count, llm_calls,
  input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
select
  trace_id, namespace, tenant_id, category, leg, cost_usd::numeric, request_count, unpriced_count, duplicate_count,
  llm_calls, input_tokens::numeric, output_tokens::numeric, characters::numeric, audio_seconds::numeric,
  call_seconds::numeric, duration_ns::numeric
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(tenant_id)b::text[], %(category)b::text[], %(leg)b::text[],
  %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[],
  %(duplicate_count)b::bigint[], %(llm_calls)b::bigint[], %(input_tokens)b::text[], %(output_tokens)b::text[],
  %(characters)b::text[], %(audio_seconds)b::text[], %(call_seconds)b::text[], %(duration_ns)b::text[]
) as new (
  trace_id, namespace, tenant_id, category, leg, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
where not exists (
  select from callfare.workflow_rollup as rollup
  where rollup.trace_id = new.trace_id and rollup.namespace = new.namespace and rollup.tenant_id = new.tenant_id
    and rollup.category = new.category and rollup.leg = new.leg)
order by 1, 2, 3, 4, 5;

-- date_workflow_totals --
-- A span that came late may have been the first one, or the last.
update callfare.workflow_total as total set started_at = new.started_at, ended_at = new.ended_at
from unnest(%(trace_id)b::uuid[], %(namespace)b::text[], %(started_at)b::timestamptz[], %(ended_at)b::timestamptz[])
  as new (trace_id, namespace, started_at, ended_at)
where total.trace_id = new.trace_id and total.namespace = new.namespace
  and (total.started_at, total.ended_at) is distinct from (new.started_at, new.ended_at);

-- move_workflow_totals --
-- Move the totals of workflows that exist already; an update of its own for the same reason as above.
update callfare.workflow_total as total set
  cost_usd = trim_scale(total.cost_usd + new.cost_usd::numeric),
  request_count = total.request_count + new.request_count,
  unpriced_count = total.unpriced_count + new.unpriced_count,
  duplicate_count = total.duplicate_count + new.duplicate_count,
  llm_calls = total.llm_calls + new.llm_calls,
  total_tokens = total.total_tokens + new.total_tokens::numeric
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(tenant_id)b::text[], %(cost_usd)b::text[], %(request_count)b::bigint[],
  %(unpriced_count)b::bigint[], %(duplicate_count)b::bigint[], %(llm_calls)b::bigint[], %(total_tokens)b::text[]
) as new (
  trace_id, namespace, tenant_id, cost_usd, request_count, unpriced_count, duplicate_count, llm_calls, total_tokens)
where total.trace_id = new.trace_id and total.namespace = new.namespace and total.tenant_id = new.tenant_id
  and (new.cost_usd, new.request_count, new.unpriced_count, new.duplicate_count, new.llm_calls, new.total_tokens)
    is distinct from ('0', 0, 0, 0, 0, '0');

-- begin_workflow_totals --
-- Begin the totals that do not exist yet.
insert into callfare.workflow_total (
  trace_id, namespace, tenant_id, started_at, ended_at, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, total_tokens)
select
  trace_id, namespace, tenant_id, started_at, ended_at, trim_scale(cost_usd::numeric), request_count, unpriced_count,
  duplicate_count, llm_calls, total_tokens::numeric
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(tenant_id)b::text[], %(started_at)b::timestamptz[],
  %(ended_at)b::timestamptz[], %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[],
  %(duplicate_count)b::bigint[], %(llm_calls)b::bigint[], %(total_tokens)b::text[]
) as new (
  trace_id, namespace, tenant_id, started_at, ended_at, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, total_tokens)
where not exists (
  select from callfare.workflow_total as total
  where total.trace_id = new.trace_id and total.namespace = new.namespace and total.tenant_id = new.tenant_id)
order by 1, 2, 3;

-- move_daily_rollup --
-- Move the sums of days by differences, in the slot of this writer.
insert into callfare.daily_rollup as rollup (
  tenant_id, day, category, provider, model, operation, slot, cost_usd, request_count, unpriced_count,
  duplicate_count, llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
select
  tenant_id, day, category, provider, model, operation, (pg_backend_pid() %% 16)::smallint, cost_usd::numeric,
  request_count, unpriced_count, duplicate_count, llm_calls, input_tokens::numeric, output_tokens::numeric,
  characters::numeric, audio_seconds::numeric, call_seconds::numeric, duration_ns::numeric
from unnest(
  %(tenant_id)b::text[], %(day)b::date[], %(category)b::text[], %(provider)b::text[], %(model)b::text[],
  %(operation)b::text[], %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[],
  %(duplicate_count)b::bigint[], %(llm_calls)b::bigint[], %(input_tokens)b::text[], %(output_tokens)b::text[],
  %(characters)b::text[], %(audio_seconds)b::text[], %(call_seconds)b::text[], %(duration_ns)b::text[]
) as new (
  tenant_id, day, category, provider, model, operation, cost_usd, request_count, unpriced_count,
  duplicate_count, llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
order by 1, 2, 3, 4, 5, 6
on conflict (tenant_id, day, category, provider, model, operation, slot) do update set
  cost_usd = rollup.cost_usd + excluded.cost_usd,
  request_count = rollup.request_count + excluded.request_count,
  unpriced_count = rollup.unpriced_count + excluded.unpriced_count,
  duplicate_count = rollup.duplicate_count + excluded.duplicate_count,
  llm_calls = rollup.llm_calls + excluded.llm_calls,
  input_tokens = rollup.input_tokens + excluded.input_tokens,
  output_tokens = rollup.output_tokens + excluded.output_tokens,
  characters = rollup.characters + excluded.characters,
  audio_seconds = rollup.audio_seconds + excluded.audio_seconds,
  call_seconds = rollup.call_seconds + excluded.call_seconds,
  duration_ns = rollup.duration_ns + excluded.duration_ns;

-- move_hourly_rollup --
-- Move the sums of hours by differences, in the slot of this writer.
insert into callfare.hourly_rollup as rollup (
  tenant_id, hour, category, provider, model, operation, slot, cost_usd, request_count, unpriced_count, total_tokens,
  characters, audio_seconds, call_seconds)
select
  tenant_id, hour, category, provider, model, operation, (pg_backend_pid() %% 16)::smallint, cost_usd::numeric,
  request_count, unpriced_count, total_tokens::numeric, characters::numeric, audio_seconds::numeric,
  call_seconds::numeric
from unnest(
  %(tenant_id)b::text[], %(hour)b::timestamptz[], %(category)b::text[], %(provider)b::text[], %(model)b::text[],
  %(operation)b::text[], %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[],
  %(total_tokens)b::text[], %(characters)b::text[], %(audio_seconds)b::text[], %(call_seconds)b::text[]
) as new (
  tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count, total_tokens,
  characters, audio_seconds, call_seconds)
order by 1, 2, 3, 4, 5, 6
on conflict (tenant_id, hour, category, provider, model, operation, slot) do update set
  cost_usd = rollup.cost_usd + excluded.cost_usd,
  request_count = rollup.request_count + excluded.request_count,
  unpriced_count = rollup.unpriced_count + excluded.unpriced_count,
  total_tokens = rollup.total_tokens + excluded.total_tokens,
  characters = rollup.characters + excluded.characters,
  audio_seconds = rollup.audio_seconds + excluded.audio_seconds,
  call_seconds = rollup.call_seconds + excluded.call_seconds;

-- move_spend_rollup --
-- Move what each API key, user, task, tier, category and provider spent by differences, in the slot of this writer.
insert into callfare.spend_rollup as rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select
  tenant_id, kind, grain, starts_at, value, (pg_backend_pid() %% 16)::smallint, cost_usd::numeric, request_count,
  unpriced_count, total_tokens::numeric, characters::numeric, audio_seconds::numeric, call_seconds::numeric
from unnest(
  %(tenant_id)b::text[], %(kind)b::text[], %(grain)b::text[], %(starts_at)b::timestamptz[], %(value)b::text[],
  %(cost_usd)b::text[], %(request_count)b::bigint[], %(unpriced_count)b::bigint[], %(total_tokens)b::text[],
  %(characters)b::text[], %(audio_seconds)b::text[], %(call_seconds)b::text[]
) as new (
  tenant_id, kind, grain, starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
order by 1, 2, 3, 4, 5
on conflict (tenant_id, kind, grain, starts_at, value, slot) do update set
  cost_usd = rollup.cost_usd + excluded.cost_usd,
  request_count = rollup.request_count + excluded.request_count,
  unpriced_count = rollup.unpriced_count + excluded.unpriced_count,
  total_tokens = rollup.total_tokens + excluded.total_tokens,
  characters = rollup.characters + excluded.characters,
  audio_seconds = rollup.audio_seconds + excluded.audio_seconds,
  call_seconds = rollup.call_seconds + excluded.call_seconds;

-- mark_spend --
-- Who spent, for the service that judges alerts after the commit. Nothing where none does.
insert into callfare.spend_mark (tenant_id, service_name)
select tenant_id, service_name
from unnest(%(tenant_id)b::text[], %(service_name)b::text[]) as new (tenant_id, service_name)
where exists (select from callfare.alert_judge where judged_at > now() - interval '1 hour');
