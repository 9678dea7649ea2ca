-- The ledger: cost records, their rollups, and what the settling of a trace needs.
--
-- Names: `trace` is the lock and the header of a workflow; `record` holds one row a provider call, in partitions
-- by the month in which its trace was first heard of; the two rollups are sums of records and move with them in
-- the same transaction. Views carry the stable names; tables may change. ADR 0001 tells why.

-- ---------------------------------------------------------------------------------------------------- helpers

create function callfare.hex16(id bigint) returns text
  language sql immutable parallel safe strict
  return lpad(to_hex(id), 16, '0');

-- Money as text for JSON: no trailing zeros, never an exponent.
create function callfare.money_text(amount numeric) returns text
  language sql immutable parallel safe strict
  return trim_scale(amount)::text;

-- Cost lines are stored as arrays, without the names that every line repeats; this gives them their names back.
create function callfare.lines_json(lines jsonb) returns jsonb
  language sql immutable parallel safe
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'unit', line -> 0, 'quantity', line -> 1, 'billed_quantity', coalesce(nullif(line -> 2, 'null'), line -> 1),
      'unit_price', line -> 3, 'per', line -> 4, 'amount', line -> 5, 'price_id', line -> 6
    ) order by position), '[]'::jsonb)
    from jsonb_array_elements(lines) with ordinality as each (line, position)
  );

-- A count in `usage`, as the rollups add it up: nothing where it is missing, whole where it counts things.
create function callfare.counted(usage jsonb, quantity text) returns numeric
  language sql immutable parallel safe
  return trunc(coalesce((usage ->> quantity)::numeric, 0));

create function callfare.measured(usage jsonb, quantity text) returns numeric
  language sql immutable parallel safe
  return coalesce((usage ->> quantity)::numeric, 0);

-- ----------------------------------------------------------------------------------------------------- ledger

-- The partitions there are and were. A purged one stays here, so that a late span is known to be too old.
create table callfare.bucket (
  bucket     date primary key check (extract(day from bucket) = 1),
  created_at timestamptz not null default now(),
  purged_at  timestamptz
);

-- One row a trace: the lock under which it is settled, and what its spans say that are no provider calls.
create table callfare.trace (
  trace_id          uuid not null,
  namespace         text not null check (namespace <> ''),
  bucket            date not null,
  version           bigint not null default 1,
  is_tenant_trusted boolean not null,
  is_joined         boolean not null default false,
  tenant_id         text not null check (tenant_id <> ''),
  state             text not null check (state in ('running', 'completed', 'failed')),
  workflow_id       text,
  workflow_name     text,
  revenue_usd       numeric check (revenue_usd >= 0 and revenue_usd < 1e12),
  started_at        timestamptz,
  ended_at          timestamptz,
  record_count      integer not null check (record_count >= 0),
  last_received_at  timestamptz not null,
  finalised_at      timestamptz,
  links             bytea,
  attributions      jsonb check (jsonb_typeof(attributions) = 'array'),
  roots             jsonb check (jsonb_typeof(roots) = 'object'),
  primary key (trace_id, namespace),
  check (ended_at >= started_at)
) with (fillfactor = 80);
comment on column callfare.trace.links is 'span id, parent span id, index into attributions: 18 bytes a link';

create index trace_by_start on callfare.trace (tenant_id, started_at);
-- Open traces only: it stays as small as the last hour of traffic, and an update of a trace does not touch it.
create index trace_open on callfare.trace (trace_id) where finalised_at is null;
create index trace_without_records on callfare.trace (trace_id) where record_count = 0;

-- Traces that tell of one provider call, or share a session: settled together. Rare; kept in both directions.
create table callfare.trace_join (
  namespace      text not null,
  trace_id       uuid not null,
  other_trace_id uuid not null check (other_trace_id <> trace_id),
  primary key (trace_id, namespace, other_trace_id)
);

-- Which trace a provider call, or session, was first seen in. Two calls of one hash are merely settled together.
create table callfare.provider_call (
  call_hash bigint primary key,
  trace_id  uuid not null,
  bucket    date not null
);

create table callfare.record (
  bucket             date not null,
  namespace          text not null,
  trace_id           uuid not null,
  span_id            bigint not null check (span_id <> 0),
  parent_span_id     bigint,
  tenant_id          text not null check (tenant_id <> ''),
  category           text not null check (category <> ''),
  leg                text not null check (leg in ('llm', 'tts', 'stt', 'telephony', 'vector', 'other')),
  operation          text not null,
  provider           text not null,
  model              text not null,
  service_tier       text,
  mode               text,
  task               text,
  tier               text,
  user_id            text,
  api_key_id         text,
  service_name       text,
  error_type         text,
  started_at         timestamptz not null,
  started_ns         smallint not null check (started_ns between 0 and 999),
  duration_ns        bigint not null check (duration_ns >= 0),
  received_at        timestamptz not null,
  status             text not null,
  cost_usd           numeric check (cost_usd >= 0 and cost_usd < 1e12),
  reported_cost_usd  numeric check (reported_cost_usd < 1e12 and reported_cost_usd > -1e12),
  duplicate_of       bigint,
  duplicate_trace_id uuid,
  content_hash       bigint not null,
  book_version       text not null,
  usage              jsonb not null check (jsonb_typeof(usage) = 'object'),
  lines              jsonb check (jsonb_typeof(lines) = 'array'),
  issues             jsonb check (jsonb_typeof(issues) = 'array'),
  fact               jsonb not null check (jsonb_typeof(fact) = 'object'),
  primary key (trace_id, span_id, namespace, bucket),
  constraint cost_known_when_billed check (case
    when status in ('priced', 'reported', 'estimated', 'partial') then cost_usd is not null
    when status in ('unpriced', 'no_usage', 'invalid', 'duplicate') then cost_usd is null
    else false end),
  constraint only_duplicates_name_a_winner check (status = 'duplicate' or (duplicate_of is null and duplicate_trace_id is null)),
  constraint duplicates_have_no_lines check (status <> 'duplicate' or lines is null)
) partition by list (bucket);
create index record_by_start on callfare.record (tenant_id, started_at);
comment on column callfare.record.fact is 'what the call said beyond the columns, so that its trace can be settled again';

-- ---------------------------------------------------------------------------------------------------- rollups

create table callfare.workflow_rollup (
  trace_id        uuid not null,
  namespace       text not null,
  tenant_id       text not null,
  category        text not null,
  leg             text not null,
  cost_usd        numeric not null check (cost_usd >= 0 and cost_usd < 'Infinity'),
  request_count   bigint not null check (request_count >= 0),
  unpriced_count  bigint not null check (unpriced_count between 0 and request_count),
  duplicate_count bigint not null check (duplicate_count >= 0),
  llm_calls       bigint not null check (llm_calls between 0 and request_count),
  input_tokens    numeric not null check (input_tokens >= 0),
  output_tokens   numeric not null check (output_tokens >= 0),
  characters      numeric not null check (characters >= 0),
  audio_seconds   numeric not null check (audio_seconds >= 0),
  call_seconds    numeric not null check (call_seconds >= 0),
  duration_ns     numeric not null check (duration_ns >= 0),
  primary key (trace_id, namespace, tenant_id, category, leg)
) with (fillfactor = 80);

-- Each writer adds in a slot of its own, so that writers do not wait for one another's day. A slot alone may be
-- negative (it took away what another one added); the sum over the slots is what counts.
create table callfare.daily_rollup (
  tenant_id       text not null,
  day             date not null,
  category        text not null,
  provider        text not null,
  model           text not null,
  operation       text not null,
  slot            smallint not null check (slot between 0 and 15),
  cost_usd        numeric not null check (cost_usd < 'Infinity'),
  request_count   bigint not null,
  unpriced_count  bigint not null,
  duplicate_count bigint not null,
  llm_calls       bigint not null,
  input_tokens    numeric not null,
  output_tokens   numeric not null,
  characters      numeric not null,
  audio_seconds   numeric not null,
  call_seconds    numeric not null,
  duration_ns     numeric not null,
  primary key (tenant_id, day, category, provider, model, operation, slot)
) with (fillfactor = 50);
create index daily_rollup_by_day on callfare.daily_rollup (day);

-- What purged records had added to the days: the closing balance that lets the days still be checked.
create table callfare.daily_purged (
  tenant_id       text not null,
  day             date not null,
  category        text not null,
  provider        text not null,
  model           text not null,
  operation       text not null,
  cost_usd        numeric not null,
  request_count   bigint not null,
  unpriced_count  bigint not null,
  duplicate_count bigint not null,
  llm_calls       bigint not null,
  input_tokens    numeric not null,
  output_tokens   numeric not null,
  characters      numeric not null,
  audio_seconds   numeric not null,
  call_seconds    numeric not null,
  duration_ns     numeric not null,
  primary key (tenant_id, day, category, provider, model, operation)
);

-- ---------------------------------------------------------------------------------------------------- history

-- Append-only: the content that lost a conflict, and what a re-rating changed. Repetitions add nothing.
create table callfare.record_revision (
  revision_id  bigint generated always as identity primary key,
  recorded_at  timestamptz not null default now(),
  namespace    text not null,
  trace_id     uuid not null,
  span_id      text not null check (span_id ~ '^[0-9a-f]{16}$'),
  reason       text not null check (reason ~ '^(conflict|rerate:[0-9]+|undo:[0-9]+)$'),
  content_hash bigint not null,
  content      jsonb not null,
  unique (trace_id, span_id, namespace, content_hash, reason)
);
create index record_revision_by_reason on callfare.record_revision (reason, trace_id);

-- A workflow that had been finalised and was changed by late spans.
create table callfare.amendment (
  amendment_id    bigint generated always as identity primary key,
  amended_at      timestamptz not null default now(),
  namespace       text not null,
  tenant_id       text not null,
  trace_id        uuid not null,
  finalised_at    timestamptz not null,
  span_count      integer not null check (span_count >= 0),
  before_usd      numeric not null check (before_usd >= 0),
  after_usd       numeric not null check (after_usd >= 0),
  before_unpriced bigint not null check (before_unpriced >= 0),
  after_unpriced  bigint not null check (after_unpriced >= 0)
);
create index amendment_by_trace on callfare.amendment (trace_id);

-- What could not be kept as a record, content stripped. The same letter again only counts as an attempt.
create table callfare.dead_letter (
  dead_letter_id bigint generated always as identity primary key,
  received_at    timestamptz not null,
  namespace      text not null,
  is_tenant_trusted boolean not null,
  reason         text not null check (reason ~ '^[a-z_]{1,40}$'),
  detail         text not null check (length(detail) <= 500),
  trace_id       text not null,
  span_id        text not null,
  payload        bytea not null check (octet_length(payload) <= 65536),
  payload_kind   text not null check (payload_kind in ('otlp', 'call', 'none')),
  digest         bytea not null check (octet_length(digest) = 16),
  attempts       integer not null default 1 check (attempts > 0),
  replayed_at    timestamptz,
  replay_error   text,
  unique (digest, namespace)
);
create index dead_letter_waiting on callfare.dead_letter (dead_letter_id) where replayed_at is null;

create table callfare.rerate (
  rerate_id    bigint generated always as identity primary key,
  created_at   timestamptz not null default now(),
  since        timestamptz not null,
  until        timestamptz not null check (until > since),
  tenant_id    text,
  book_version text not null,
  state        text not null check (state in ('applying', 'applied', 'undoing', 'undone')),
  last_bucket  date,
  last_trace   uuid,
  records      bigint not null default 0 check (records >= 0),
  before_usd   numeric not null default 0,
  after_usd    numeric not null default 0,
  applied_at   timestamptz,
  undone_at    timestamptz
);

-- ------------------------------------------------------------------------------------------------------ rules

-- From the configuration file. What a workflow earns where its spans do not say; a null outcome is any outcome.
create table callfare.revenue_rule (
  position integer primary key,
  workflow text not null,
  outcome  text,
  amount   numeric not null check (amount >= 0 and amount < 1e12)
);

create table callfare.fee_rule (
  position integer primary key,
  percent  numeric not null check (percent >= 0 and percent <= 100),
  fixed    numeric not null check (fixed >= 0 and fixed < 1e12)
);

-- ------------------------------------------------------------------------------------------------------ views

create view callfare.cost_record as
select
  tenant_id, trace_id, callfare.hex16(span_id) as span_id, callfare.hex16(parent_span_id) as parent_span_id,
  started_at,
  started_at + ((started_ns + duration_ns) / 1000) * interval '1 microsecond' as ended_at,
  duration_ns * 0.000000001 as duration_seconds,
  operation, provider, model, service_tier, mode, status, trim_scale(cost_usd) as cost_usd, category, task, tier, user_id, api_key_id,
  service_name, error_type, callfare.hex16(duplicate_of) as duplicate_of, reported_cost_usd,
  usage, callfare.lines_json(lines) as lines, coalesce(issues, '[]'::jsonb) as issues, book_version, received_at,
  leg, duplicate_trace_id, namespace
from callfare.record;

create view callfare.workflow_cost as
select
  summed.tenant_id, trace.trace_id, trace.workflow_id, trace.workflow_name,
  case when trace.finalised_at is null then trace.state else 'finalised' end as state,
  trace.started_at, trace.ended_at,
  summed.cost_usd as total_cost_usd, summed.unpriced_count, summed.duplicate_count, summed.llm_calls,
  summed.total_tokens, earned.revenue_usd, trim_scale(fee.fee_usd) as fee_usd,
  trim_scale(earned.revenue_usd - fee.fee_usd - summed.cost_usd) as profit_usd,
  summed.by_leg, summed.by_category,
  trace.state as outcome, trace.finalised_at, trace.namespace, summed.request_count
from callfare.trace
cross join lateral (
  select
    part.tenant_id, trim_scale(sum(cost_usd)) as cost_usd, sum(unpriced_count)::bigint as unpriced_count,
    sum(duplicate_count)::bigint as duplicate_count, sum(llm_calls)::bigint as llm_calls,
    sum(input_tokens + output_tokens)::bigint as total_tokens, sum(request_count)::bigint as request_count,
    (select coalesce(jsonb_object_agg(leg, callfare.money_text(cost)), '{}') from (
       select leg, sum(cost_usd) as cost from callfare.workflow_rollup as each
       where each.trace_id = trace.trace_id and each.namespace = trace.namespace and each.tenant_id = part.tenant_id
         and each.request_count > 0
       group by leg) as legs) as by_leg,
    (select coalesce(jsonb_object_agg(category, callfare.money_text(cost)), '{}') from (
       select category, sum(cost_usd) as cost from callfare.workflow_rollup as each
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
  select coalesce(
    trace.revenue_usd,
    (select amount from callfare.revenue_rule as rule
     where rule.workflow = trace.workflow_name and (rule.outcome is null or rule.outcome = trace.state)
     order by position limit 1)
  ) as revenue_usd
  where summed.tenant_id = trace.tenant_id
) as earned on true
left join lateral (
  -- Percent as a factor of 0.01 keeps the product exact; a division would round.
  select coalesce(sum(earned.revenue_usd * rule.percent * 0.01 + rule.fixed), 0) as fee_usd
  from callfare.fee_rule as rule
  where earned.revenue_usd is not null
  having earned.revenue_usd is not null
) as fee on true;

create view callfare.daily_cost as
select
  tenant_id, day, category, provider, model, operation,
  sum(request_count)::bigint as request_count, sum(unpriced_count)::bigint as unpriced_count,
  trim_scale(sum(cost_usd)) as cost_usd, sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
  sum(input_tokens + output_tokens)::bigint as total_tokens, sum(characters)::bigint as characters,
  trim_scale(sum(audio_seconds)) as audio_seconds, trim_scale(sum(call_seconds)) as call_seconds,
  round(sum(duration_ns) / sum(request_count) / 1000000, 3) as avg_latency_ms
from callfare.daily_rollup
group by tenant_id, day, category, provider, model, operation
having sum(request_count) <> 0;

create view callfare.usage_stats as
select
  tenant_id, trace_id,
  (select coalesce(jsonb_object_agg(category || '_cost_usd', cost), '{}') from jsonb_each_text(by_category) as each (category, cost))
  || jsonb_build_object(
    'total_cost_usd', callfare.money_text(total_cost_usd), 'total_tokens', total_tokens, 'llm_calls', llm_calls,
    'models_used', (
      select coalesce(jsonb_agg(distinct model order by model), '[]') from callfare.record
      where record.trace_id = workflow_cost.trace_id and record.namespace = workflow_cost.namespace
        and record.tenant_id = workflow_cost.tenant_id and record.status <> 'duplicate' and record.model <> ''
    ),
    'unpriced_count', unpriced_count
  ) as usage_stats
from callfare.workflow_cost;

-- What each record adds to the rollups, computed from the record alone: the other side of every check.
create view callfare.record_measure as
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
  case when status = 'duplicate' then 0 else duration_ns end as duration_ns
from callfare.record;

-- No rows: every rollup is the exact sum of its records, and every record is explained by its lines.
create view callfare.integrity_check as
with
  workflow_expected as (
    select namespace, trace_id, tenant_id, category, leg, sum(cost_usd) as cost_usd,
      array[sum(request_count), sum(unpriced_count), sum(duplicate_count), sum(llm_calls), sum(input_tokens),
            sum(output_tokens), sum(characters), sum(audio_seconds), sum(call_seconds), sum(duration_ns)]::numeric[] as counts
    from callfare.record_measure
    group by namespace, trace_id, tenant_id, category, leg
  ),
  workflow_found as (
    select namespace, trace_id, tenant_id, category, leg, cost_usd,
      array[request_count, unpriced_count, duplicate_count, llm_calls, input_tokens,
            output_tokens, characters, audio_seconds, call_seconds, duration_ns]::numeric[] as counts
    from callfare.workflow_rollup
    where not exists (
      select from callfare.trace join callfare.bucket using (bucket)
      where trace.trace_id = workflow_rollup.trace_id and trace.namespace = workflow_rollup.namespace
        and bucket.purged_at is not null)
  ),
  daily_expected as (
    select tenant_id, day, category, provider, model, operation, sum(cost_usd) as cost_usd,
      array[sum(request_count), sum(unpriced_count), sum(duplicate_count), sum(llm_calls), sum(input_tokens),
            sum(output_tokens), sum(characters), sum(audio_seconds), sum(call_seconds), sum(duration_ns)]::numeric[] as counts
    from (
      select tenant_id, day, category, provider, model, operation, cost_usd, request_count, unpriced_count,
        duplicate_count, llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns
      from callfare.record_measure
      union all
      select * from callfare.daily_purged
    ) as each
    group by tenant_id, day, category, provider, model, operation
  ),
  daily_found as (
    select tenant_id, day, category, provider, model, operation, sum(cost_usd) as cost_usd,
      array[sum(request_count), sum(unpriced_count), sum(duplicate_count), sum(llm_calls), sum(input_tokens),
            sum(output_tokens), sum(characters), sum(audio_seconds), sum(call_seconds), sum(duration_ns)]::numeric[] as counts
    from callfare.daily_rollup
    group by tenant_id, day, category, provider, model, operation
  ),
  nothing as (select array_fill(0::numeric, array[10]) as counts)
select 'workflow_rollup' as problem, tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id, 'category', category, 'leg', leg) as key,
  jsonb_build_object('cost_usd', callfare.money_text(expected.cost_usd), 'counts', expected.counts) as expected,
  jsonb_build_object('cost_usd', callfare.money_text(found.cost_usd), 'counts', found.counts) as found
from workflow_expected as expected full join workflow_found as found
  using (namespace, trace_id, tenant_id, category, leg), nothing
where coalesce(expected.cost_usd, 0) <> coalesce(found.cost_usd, 0)
  or coalesce(expected.counts, nothing.counts) <> coalesce(found.counts, nothing.counts)
union all
select 'daily_rollup', tenant_id,
  jsonb_build_object('day', day, 'category', category, 'provider', provider, 'model', model, 'operation', operation),
  jsonb_build_object('cost_usd', callfare.money_text(expected.cost_usd), 'counts', expected.counts),
  jsonb_build_object('cost_usd', callfare.money_text(found.cost_usd), 'counts', found.counts)
from daily_expected as expected full join daily_found as found
  using (tenant_id, day, category, provider, model, operation), nothing
where coalesce(expected.cost_usd, 0) <> coalesce(found.cost_usd, 0)
  or coalesce(expected.counts, nothing.counts) <> coalesce(found.counts, nothing.counts)
union all
-- A cost that is not the sum of its lines. A stated cost stands for itself and needs no lines.
select 'lines', tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id, 'span_id', callfare.hex16(span_id)),
  jsonb_build_object('cost_usd', callfare.money_text(line.amount)),
  jsonb_build_object('cost_usd', callfare.money_text(cost_usd))
from callfare.record
cross join lateral (
  select coalesce(sum((each ->> 5)::numeric), 0) as amount
  from jsonb_array_elements(coalesce(lines, '[]')) as each
) as line
where status in ('priced', 'estimated', 'partial') and cost_usd <> line.amount
union all
-- A duplicate of nothing: the record it points to is not there.
select 'duplicate_of', tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id, 'span_id', callfare.hex16(span_id)),
  jsonb_build_object('duplicate_of', callfare.hex16(duplicate_of)), null
from callfare.record
where duplicate_of is not null and not exists (
  select from callfare.record as winner
  where winner.trace_id = coalesce(record.duplicate_trace_id, record.trace_id)
    and winner.span_id = record.duplicate_of and winner.namespace = record.namespace)
  and not exists (
  select from callfare.trace join callfare.bucket using (bucket)
  where trace.trace_id = record.duplicate_trace_id and trace.namespace = record.namespace and purged_at is not null)
union all
-- A trace that does not know its records, or records without a trace.
select 'trace', trace.tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id),
  jsonb_build_object('record_count', counted.record_count, 'bucket', counted.bucket),
  jsonb_build_object('record_count', trace.record_count, 'bucket', trace.bucket)
from (select namespace, trace_id, count(*) as record_count, min(bucket) as bucket, max(bucket) as last_bucket
      from callfare.record group by namespace, trace_id) as counted
full join (select trace.* from callfare.trace left join callfare.bucket using (bucket)
           where bucket.purged_at is null) as trace using (namespace, trace_id)
where coalesce(counted.record_count, 0) <> coalesce(trace.record_count, 0)
  or counted.bucket <> trace.bucket or counted.last_bucket <> trace.bucket;
