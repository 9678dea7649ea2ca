-- Statements of `store/ledger/`: one transaction of ingest, but for the rollups (`rollups.sql`). Batches come as one array
-- a column. Whatever locks does so in the order of its key, so that no two writers wait for each other: traces first,
-- then provider calls, then the rollups, the hot days last.

-- lock_traces --
-- Lock the traces of a batch that exist, and read what they hold beside records.
select
  uuid_send(trace.trace_id) as trace_id, trace.namespace, trace.bucket - date '1970-01-01' as bucket_day,
  (extract(epoch from trace.last_received_at) * 1000000)::bigint as last_received_at_us,
  trace.is_tenant_trusted, trace.is_joined, trace.finalised_at is not null as is_finalised, trace.record_count,
  exists (select from callfare.bucket where bucket.bucket = trace.bucket and purged_at is not null) as is_purged,
  trace.links, trace.attributions::text as attributions, trace.roots::text as roots, trace.shared_keys,
  (extract(epoch from trace.started_at) * 1000000)::bigint as started_us,
  (extract(epoch from trace.ended_at) * 1000000)::bigint as ended_us,
  long_trace.number, long_trace.words::text as words, long_trace.has_gateway
from callfare.trace
join unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as wanted (trace_id, namespace) using (trace_id, namespace)
left join callfare.long_trace using (trace_id, namespace)
order by trace.trace_id, trace.namespace
for update of trace;

-- homes_of_calls --
-- Which trace each provider call was first seen in, where it was seen. One statement, so that none is missed while it
-- is moved from the one table to the other.
select call_hash, uuid_send(trace_id) as trace_id, is_shared
from callfare.provider_call
where call_hash = any(%(call_hash)b::bigint[])
union all
select call_hash, uuid_send(trace_id), is_shared
from callfare.provider_call_old
where call_hash = any(%(call_hash)b::bigint[]);

-- lock_look_alikes --
-- The same of slots of time that calls alike share, under lock: who stores the other half of a call waits here.
select call_hash, uuid_send(trace_id) as trace_id, is_shared
from callfare.provider_call
where call_hash = any(%(call_hash)b::bigint[])
order by call_hash
for update;

-- look_alikes --
-- The calls under these keys, which are locked.
select
  call_hash, namespace, uuid_send(trace_id) as trace_id, int8send(span_id) as span_id, scope, started_at_ns,
  ended_at_ns, output_tokens, call_id, is_root
from callfare.look_alike
where call_hash = any(%(call_hash)b::bigint[]);

-- joined_traces --
-- The pairs of traces that are settled together, of all that hang together with one of these.
with recursive reached (namespace, trace_id) as (
  select namespace, trace_id
  from unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as wanted (trace_id, namespace)
  union
  select reached.namespace, trace_join.other_trace_id
  from reached join callfare.trace_join using (trace_id, namespace)
)
select namespace, uuid_send(trace_id) as trace_id, uuid_send(other_trace_id) as other_trace_id
from reached join callfare.trace_join using (trace_id, namespace);

-- load_records --
-- The records of some traces, as they were written.
select
  uuid_send(record.trace_id) as trace_id, record.namespace, int8send(span_id) as span_id,
  int8send(parent_span_id) as parent_span_id, tenant_id, category, operation, provider, model, service_tier, mode,
  task, tier, user_id, api_key_id, service_name, error_type,
  (extract(epoch from started_at) * 1000000)::bigint as started_us, started_ns, duration_ns,
  (extract(epoch from received_at) * 1000000)::bigint as received_at_us,
  status, cost_usd, reported_cost_usd, int8send(duplicate_of) as duplicate_of,
  uuid_send(duplicate_trace_id) as duplicate_trace_id, content_hash, book_version,
  usage::text as usage, lines::text as lines, issues::text as issues, fact::text as fact
from callfare.record
join unnest(%(trace_id)b::uuid[], %(namespace)b::text[], %(bucket)b::date[]) as wanted (trace_id, namespace, bucket)
  using (trace_id, namespace, bucket);

-- load_records_of_spans --
-- The same of some spans.
select
  uuid_send(record.trace_id) as trace_id, record.namespace, int8send(span_id) as span_id,
  int8send(parent_span_id) as parent_span_id, tenant_id, category, operation, provider, model, service_tier, mode,
  task, tier, user_id, api_key_id, service_name, error_type,
  (extract(epoch from started_at) * 1000000)::bigint as started_us, started_ns, duration_ns,
  (extract(epoch from received_at) * 1000000)::bigint as received_at_us,
  status, cost_usd, reported_cost_usd, int8send(duplicate_of) as duplicate_of,
  uuid_send(duplicate_trace_id) as duplicate_trace_id, content_hash, book_version,
  usage::text as usage, lines::text as lines, issues::text as issues, fact::text as fact
from callfare.record
join unnest(%(trace_id)b::uuid[], %(namespace)b::text[], %(bucket)b::date[], %(span_id)b::bigint[])
  as wanted (trace_id, namespace, bucket, span_id) using (trace_id, namespace, bucket, span_id);

-- long_spans --
-- What the index of long traces holds of some spans.
select
  number, int8send(span_id) as span_id, is_link, int8send(parent_span_id) as parent_span_id, words::text as words,
  root::text as root
from callfare.long_span
join unnest(%(number)b::bigint[], %(span_id)b::bigint[]) as wanted (number, span_id) using (number, span_id);

-- long_links --
-- All links of some long traces.
select
  number, int8send(span_id) as span_id, is_link, int8send(parent_span_id) as parent_span_id, words::text as words,
  root::text as root
from callfare.long_span
where number = any(%(number)b::bigint[]) and is_link;

-- long_roots --
-- The root of each of some long traces, where it has come.
select
  number, int8send(span_id) as span_id, is_link, int8send(parent_span_id) as parent_span_id, words::text as words,
  root::text as root
from unnest(%(number)b::bigint[]) as wanted (number)
cross join lateral (
  select span_id, is_link, parent_span_id, words, root
  from callfare.long_span
  where long_span.number = wanted.number and root is not null
  order by started_ns, span_id < 0, span_id, is_link desc
  limit 1
) as root;

-- tied_spans --
-- What is judged together with some spans of long traces, and what is above it.
select
  number, int8send(span_id) as span_id, is_link, int8send(parent_span_id) as parent_span_id, words::text as words,
  root::text as root
from callfare.tied_spans(
  %(number)b::bigint[], %(span_id)b::bigint[], %(way)b::bigint[], %(untied_number)b::bigint[],
  %(untied_identity)b::bigint[], %(length_max_ns)b::bigint[], %(slack_ns)s) as tied
join callfare.long_span on number = found_number and span_id = found_span_id;

-- have_call_below --
-- Which of some spans of long traces have a call, or what looks like one, below them.
select found_number as number, int8send(found_span_id) as span_id
from callfare.have_call_below(%(number)b::bigint[], %(span_id)b::bigint[]);

-- spans_of_other_words --
-- The records of a long trace that do not have all of these words, which its root states.
select long_trace.number, int8send(record.span_id) as span_id
from unnest(
  %(number)b::bigint[], %(bucket)b::date[], %(tenant)b::text[], %(category)b::text[], %(task)b::text[],
  %(tier)b::text[], %(user)b::text[], %(api_key)b::text[]
) as stated (number, bucket, tenant, category, task, tier, user_id, api_key)
join callfare.long_trace using (number)
join callfare.record using (trace_id, namespace, bucket)
where record.tenant_id <> stated.tenant or record.category <> stated.category
  or (stated.task is not null and record.task is distinct from stated.task)
  or (stated.tier is not null and record.tier is distinct from stated.tier)
  or (stated.user_id is not null and record.user_id is distinct from stated.user_id)
  or (stated.api_key is not null and record.api_key_id is distinct from stated.api_key);

-- long_times --
-- From when to when the spans of long traces are that count for it, but for the calls given.
select number, min(started_ns) as started_ns, max(ended_ns) as ended_ns
from callfare.long_span
where number = any(%(numbers)b::bigint[]) and (root is not null or not is_link)
  and (is_link or not exists (
    select from unnest(%(number)b::bigint[], %(span_id)b::bigint[]) as left_out (number, span_id)
    where left_out.number = long_span.number and left_out.span_id = long_span.span_id))
group by number;

-- long_totals --
-- What the totals of long traces are, by tenant.
select
  long_trace.number, tenant_id, cost_usd, request_count, unpriced_count, duplicate_count
from callfare.workflow_total
join callfare.long_trace using (trace_id, namespace)
where long_trace.number = any(%(number)b::bigint[]);

-- begin_long_traces --
-- Traces that are long from now on.
insert into callfare.long_trace (trace_id, namespace, words)
select trace_id, namespace, '{}'
from unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as new (trace_id, namespace)
order by trace_id, namespace
returning number, uuid_send(trace_id) as trace_id, namespace;

-- keep_long_words --
-- The greatest words of long traces, and whether a gateway is among their calls.
update callfare.long_trace set words = new.words::jsonb, has_gateway = long_trace.has_gateway or new.has_gateway
from unnest(%(number)b::bigint[], %(words)b::text[], %(has_gateway)b::boolean[]) as new (number, words, has_gateway)
where long_trace.number = new.number
  and (long_trace.words <> new.words::jsonb or new.has_gateway and not long_trace.has_gateway);

-- keep_long_spans --
-- The index of spans that are new, or have another content now.
insert into callfare.long_span (
  number, span_id, is_link, is_look_alike, parent_span_id, started_ns, ended_ns, length_class, identity, session, usage,
  uncached, words, root)
select
  number, span_id, is_link, is_look_alike, parent_span_id, started_ns, ended_ns, length_class, identity, session, usage,
  uncached, words::jsonb, root::jsonb
from unnest(
  %(number)b::bigint[], %(span_id)b::bigint[], %(is_link)b::boolean[], %(is_look_alike)b::boolean[],
  %(parent_span_id)b::bigint[], %(started_ns)b::bigint[], %(ended_ns)b::bigint[], %(length_class)b::bigint[],
  %(identity)b::bigint[], %(session)b::bigint[], %(usage)b::bigint[], %(uncached)b::bigint[], %(words)b::text[],
  %(root)b::text[]
) as new (
  number, span_id, is_link, is_look_alike, parent_span_id, started_ns, ended_ns, length_class, identity, session, usage,
  uncached, words, root)
order by number, span_id, is_link
on conflict (number, span_id, is_link) do update set
  is_look_alike = excluded.is_look_alike, parent_span_id = excluded.parent_span_id, started_ns = excluded.started_ns,
  ended_ns = excluded.ended_ns, length_class = excluded.length_class, identity = excluded.identity,
  session = excluded.session, usage = excluded.usage, uncached = excluded.uncached, words = excluded.words,
  root = excluded.root;

-- forget_long_calls --
-- The index of spans that only frame calls: they have no record.
delete from callfare.long_span
using unnest(%(number)b::bigint[], %(span_id)b::bigint[]) as gone (number, span_id)
where long_span.number = gone.number and long_span.span_id = gone.span_id and not is_link;

-- insert_traces --
-- New traces. Fewer rows than asked for means that another writer was faster: the batch starts again.
insert into callfare.trace (
  trace_id, namespace, bucket, is_tenant_trusted, is_joined, tenant_id, state, workflow_id, workflow_name,
  revenue_usd, started_at, ended_at, record_count, last_received_at, links, attributions, roots, shared_keys)
select
  trace_id, namespace, bucket, is_tenant_trusted, is_joined, tenant_id, state, workflow_id, workflow_name,
  revenue_usd::numeric, started_at, ended_at, record_count, last_received_at, links, attributions::jsonb,
  roots::jsonb, shared_keys
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(bucket)b::date[], %(is_tenant_trusted)b::boolean[],
  %(is_joined)b::boolean[], %(tenant_id)b::text[], %(state)b::text[], %(workflow_id)b::text[],
  %(workflow_name)b::text[], %(revenue_usd)b::text[], %(started_at)b::timestamptz[], %(ended_at)b::timestamptz[],
  %(record_count)b::bigint[], %(last_received_at)b::timestamptz[], %(links)b::bytea[], %(attributions)b::text[],
  %(roots)b::text[], %(shared_keys)b::bytea[]
) as new (
  trace_id, namespace, bucket, is_tenant_trusted, is_joined, tenant_id, state, workflow_id, workflow_name,
  revenue_usd, started_at, ended_at, record_count, last_received_at, links, attributions, roots, shared_keys)
order by trace_id, namespace
on conflict (trace_id, namespace) do nothing;

-- update_traces --
-- Traces that are locked already. Links are sent only where they changed.
update callfare.trace set
  version = trace.version + 1, is_tenant_trusted = new.is_tenant_trusted, is_joined = new.is_joined,
  tenant_id = new.tenant_id, state = new.state, workflow_id = new.workflow_id, workflow_name = new.workflow_name,
  revenue_usd = new.revenue_usd::numeric, started_at = new.started_at, ended_at = new.ended_at,
  record_count = new.record_count, last_received_at = new.last_received_at, shared_keys = new.shared_keys,
  links = case when new.has_new_links then new.links else trace.links end,
  attributions = case when new.has_new_links then new.attributions::jsonb else trace.attributions end,
  roots = case when new.has_new_links then new.roots::jsonb else trace.roots end
from unnest(
  %(trace_id)b::uuid[], %(namespace)b::text[], %(has_new_links)b::boolean[], %(is_tenant_trusted)b::boolean[],
  %(is_joined)b::boolean[], %(tenant_id)b::text[], %(state)b::text[], %(workflow_id)b::text[],
  %(workflow_name)b::text[], %(revenue_usd)b::text[], %(started_at)b::timestamptz[], %(ended_at)b::timestamptz[],
  %(record_count)b::bigint[], %(last_received_at)b::timestamptz[], %(links)b::bytea[], %(attributions)b::text[],
  %(roots)b::text[], %(shared_keys)b::bytea[]
) as new (
  trace_id, namespace, has_new_links, is_tenant_trusted, is_joined, tenant_id, state, workflow_id, workflow_name,
  revenue_usd, started_at, ended_at, record_count, last_received_at, links, attributions, roots, shared_keys)
where trace.trace_id = new.trace_id and trace.namespace = new.namespace;

-- insert_provider_calls --
-- Calls not seen before. One that is there after all was seen first by another writer: the batch starts again. To leave
-- it out instead (`on conflict do nothing`) would make each of the others half as expensive again.
insert into callfare.provider_call (call_hash, trace_id, bucket, added_at)
select call_hash, trace_id, bucket, case when is_movable then now() end
from unnest(%(call_hash)b::bigint[], %(trace_id)b::uuid[], %(bucket)b::date[], %(is_movable)b::boolean[])
  as new (call_hash, trace_id, bucket, is_movable)
order by call_hash;

-- share_provider_calls --
-- These keys join no traces any more.
update callfare.provider_call set is_shared = true
where call_hash in (
  select call_hash from callfare.provider_call
  where call_hash = any(%(call_hash)b::bigint[]) and not is_shared
  order by call_hash
  for update);

-- share_old_provider_calls --
-- The same of those seen a while ago; after the others, because one may have been moved here meanwhile.
update callfare.provider_call_old set is_shared = true
where call_hash in (
  select call_hash from callfare.provider_call_old
  where call_hash = any(%(call_hash)b::bigint[]) and not is_shared
  order by call_hash
  for update);

-- part_traces --
-- Traces that only these keys joined; all of them are locked.
delete from callfare.trace_join using unnest(%(trace_id)b::uuid[], %(namespace)b::text[]) as parted (trace_id, namespace)
where trace_join.trace_id = parted.trace_id and trace_join.namespace = parted.namespace
  and trace_join.call_hash = any(%(call_hash)b::bigint[]);

-- forget_crowded_look_alikes --
-- Calls under keys that join nothing any more.
delete from callfare.look_alike where call_hash = any(%(call_hash)b::bigint[]);

-- insert_timings --
-- What spans say of time and turns. Of one span that is sent twice the greater number stays, in whatever order.
insert into callfare.timing as known (
  trace_id, span_id, namespace, bucket, tenant_id, started_at, service_name, provider, model, operation,
  time_to_first_token_seconds, time_to_first_audio_seconds, turn_count, interruption_count, dead_air_seconds)
select
  trace_id, span_id, namespace, bucket, tenant_id, started_at, service_name, provider, model, operation,
  time_to_first_token_seconds::numeric, time_to_first_audio_seconds::numeric, turn_count, interruption_count,
  dead_air_seconds::numeric
from unnest(
  %(trace_id)b::uuid[], %(span_id)b::bigint[], %(namespace)b::text[], %(bucket)b::date[], %(tenant_id)b::text[],
  %(started_at)b::timestamptz[], %(service_name)b::text[], %(provider)b::text[], %(model)b::text[],
  %(operation)b::text[], %(time_to_first_token_seconds)b::text[], %(time_to_first_audio_seconds)b::text[],
  %(turn_count)b::bigint[], %(interruption_count)b::bigint[], %(dead_air_seconds)b::text[]
) as new (
  trace_id, span_id, namespace, bucket, tenant_id, started_at, service_name, provider, model, operation,
  time_to_first_token_seconds, time_to_first_audio_seconds, turn_count, interruption_count, dead_air_seconds)
on conflict (trace_id, span_id, namespace) do update set
  tenant_id = greatest(known.tenant_id, excluded.tenant_id),
  started_at = least(known.started_at, excluded.started_at),
  service_name = greatest(known.service_name, excluded.service_name),
  provider = greatest(known.provider, excluded.provider),
  model = greatest(known.model, excluded.model),
  operation = greatest(known.operation, excluded.operation),
  time_to_first_token_seconds = greatest(known.time_to_first_token_seconds, excluded.time_to_first_token_seconds),
  time_to_first_audio_seconds = greatest(known.time_to_first_audio_seconds, excluded.time_to_first_audio_seconds),
  turn_count = greatest(known.turn_count, excluded.turn_count),
  interruption_count = greatest(known.interruption_count, excluded.interruption_count),
  dead_air_seconds = greatest(known.dead_air_seconds, excluded.dead_air_seconds);

-- insert_look_alikes --
-- Calls that are looked for in other traces. The same span with another content is looked for by both.
insert into callfare.look_alike as known (
  call_hash, namespace, trace_id, span_id, bucket, scope, started_at_ns, ended_at_ns, output_tokens, call_id, is_root)
select *
from unnest(
  %(call_hash)b::bigint[], %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[], %(bucket)b::date[],
  %(scope)b::text[], %(started_at_ns)b::bigint[], %(ended_at_ns)b::bigint[], %(output_tokens)b::bigint[],
  %(call_id)b::text[], %(is_root)b::boolean[])
order by 1, 3, 4, 2, 6
on conflict (call_hash, trace_id, span_id, namespace, scope) do update set
  started_at_ns = least(known.started_at_ns, excluded.started_at_ns),
  ended_at_ns = greatest(known.ended_at_ns, excluded.ended_at_ns),
  output_tokens = case when known.output_tokens = excluded.output_tokens then known.output_tokens end,
  call_id = case when known.call_id = excluded.call_id then known.call_id else '' end,
  is_root = known.is_root or excluded.is_root;

-- insert_trace_joins --
-- Traces that were found to report the same call, in both directions.
insert into callfare.trace_join (namespace, trace_id, other_trace_id, call_hash)
select namespace, trace_id, other_trace_id, call_hash
from unnest(%(namespace)b::text[], %(trace_id)b::uuid[], %(other_trace_id)b::uuid[], %(call_hash)b::bigint[])
  as new (namespace, trace_id, other_trace_id, call_hash)
order by 2, 1, 3, 4
on conflict do nothing;

-- delete_records --
-- Records of spans that only looked like calls. Their content is kept as a revision.
delete from callfare.record using unnest(
  %(bucket)b::date[], %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[]
) as gone (bucket, namespace, trace_id, span_id)
where record.bucket = gone.bucket and record.namespace = gone.namespace
  and record.trace_id = gone.trace_id and record.span_id = gone.span_id;

-- insert_records --
-- New records. Their traces are locked, so nobody else can write the same ones.
insert into callfare.record (
  bucket, namespace, trace_id, span_id, parent_span_id, tenant_id, category, leg, operation, provider, model,
  service_tier, mode, task, tier, user_id, api_key_id, service_name, error_type, started_at, started_ns, duration_ns,
  received_at, status, cost_usd, reported_cost_usd, duplicate_of, duplicate_trace_id, content_hash, book_version,
  usage, lines, issues, fact)
select
  bucket, namespace, trace_id, span_id, parent_span_id, tenant_id, category, leg, operation, provider, model,
  service_tier, mode, task, tier, user_id, api_key_id, service_name, error_type, started_at, started_ns, duration_ns,
  received_at, status, cost_usd::numeric, reported_cost_usd::numeric, duplicate_of, duplicate_trace_id, content_hash,
  book_version, usage::jsonb, lines::jsonb, issues::jsonb, fact::jsonb
from unnest(
  %(bucket)b::date[], %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[], %(parent_span_id)b::bigint[],
  %(tenant_id)b::text[], %(category)b::text[], %(leg)b::text[], %(operation)b::text[], %(provider)b::text[],
  %(model)b::text[], %(service_tier)b::text[], %(mode)b::text[], %(task)b::text[], %(tier)b::text[],
  %(user_id)b::text[], %(api_key_id)b::text[], %(service_name)b::text[], %(error_type)b::text[],
  %(started_at)b::timestamptz[], %(started_ns)b::smallint[], %(duration_ns)b::bigint[],
  %(received_at)b::timestamptz[], %(status)b::text[], %(cost_usd)b::text[], %(reported_cost_usd)b::text[],
  %(duplicate_of)b::bigint[], %(duplicate_trace_id)b::uuid[], %(content_hash)b::bigint[], %(book_version)b::text[],
  %(usage)b::text[], %(lines)b::text[], %(issues)b::text[], %(fact)b::text[]
) as new (
  bucket, namespace, trace_id, span_id, parent_span_id, tenant_id, category, leg, operation, provider, model,
  service_tier, mode, task, tier, user_id, api_key_id, service_name, error_type, started_at, started_ns, duration_ns,
  received_at, status, cost_usd, reported_cost_usd, duplicate_of, duplicate_trace_id, content_hash, book_version,
  usage, lines, issues, fact);

-- update_records --
-- Records that are judged otherwise than before, or whose content lost to a better one.
update callfare.record set
  parent_span_id = new.parent_span_id, tenant_id = new.tenant_id, category = new.category, leg = new.leg,
  operation = new.operation, provider = new.provider, model = new.model, service_tier = new.service_tier,
  mode = new.mode, task = new.task, tier = new.tier, user_id = new.user_id, api_key_id = new.api_key_id,
  service_name = new.service_name, error_type = new.error_type, started_at = new.started_at,
  started_ns = new.started_ns, duration_ns = new.duration_ns, status = new.status, cost_usd = new.cost_usd::numeric,
  reported_cost_usd = new.reported_cost_usd::numeric, duplicate_of = new.duplicate_of,
  duplicate_trace_id = new.duplicate_trace_id, content_hash = new.content_hash, book_version = new.book_version,
  usage = new.usage::jsonb, lines = new.lines::jsonb, issues = new.issues::jsonb, fact = new.fact::jsonb
from unnest(
  %(bucket)b::date[], %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[], %(parent_span_id)b::bigint[],
  %(tenant_id)b::text[], %(category)b::text[], %(leg)b::text[], %(operation)b::text[], %(provider)b::text[],
  %(model)b::text[], %(service_tier)b::text[], %(mode)b::text[], %(task)b::text[], %(tier)b::text[],
  %(user_id)b::text[], %(api_key_id)b::text[], %(service_name)b::text[], %(error_type)b::text[],
  %(started_at)b::timestamptz[], %(started_ns)b::smallint[], %(duration_ns)b::bigint[],
  %(status)b::text[], %(cost_usd)b::text[], %(reported_cost_usd)b::text[],
  %(duplicate_of)b::bigint[], %(duplicate_trace_id)b::uuid[], %(content_hash)b::bigint[], %(book_version)b::text[],
  %(usage)b::text[], %(lines)b::text[], %(issues)b::text[], %(fact)b::text[]
) as new (
  bucket, namespace, trace_id, span_id, parent_span_id, tenant_id, category, leg, operation, provider, model,
  service_tier, mode, task, tier, user_id, api_key_id, service_name, error_type, started_at, started_ns, duration_ns,
  status, cost_usd, reported_cost_usd, duplicate_of, duplicate_trace_id, content_hash, book_version,
  usage, lines, issues, fact)
where record.trace_id = new.trace_id and record.span_id = new.span_id and record.namespace = new.namespace
  and record.bucket = new.bucket;

-- count_producers --
-- How many billable spans of each producer arrived, and the highest number among them.
insert into callfare.producer as producer (namespace, producer_id, highest_sequence, seen_count)
select * from unnest(
  %(namespace)b::text[], %(producer_id)b::text[], %(highest_sequence)b::bigint[], %(seen_count)b::bigint[])
order by 1, 2
on conflict (namespace, producer_id) do update set
  highest_sequence = greatest(producer.highest_sequence, excluded.highest_sequence),
  seen_count = producer.seen_count + excluded.seen_count,
  last_seen_at = now();

-- rates --
-- All rates that have a number.
select rate_id, unit, price_usd, per, price_id from callfare.rate;

-- insert_rates --
-- Give these a number, unless they have one.
insert into callfare.rate (unit, price_usd, per, price_id)
select unit, price_usd, per, price_id
from unnest(%(unit)s::text[], %(price_usd)s::text[], %(per)s::text[], %(price_id)s::text[])
  as new (unit, price_usd, per, price_id)
order by price_id, unit, price_usd, per
on conflict do nothing;

-- insert_revisions --
-- Contents that lost a conflict, decisions and quotes that were replaced; the same one again adds nothing.
insert into callfare.journal (kind, namespace, tenant_id, trace_id, span_id, reason, content_hash, content)
select 'content', namespace, tenant_id, trace_id, span_id, reason, content_hash, content::jsonb
from unnest(
  %(namespace)b::text[], %(tenant_id)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[], %(reason)b::text[],
  %(content_hash)b::bigint[], %(content)b::text[]
) as new (namespace, tenant_id, trace_id, span_id, reason, content_hash, content)
order by trace_id, span_id, namespace, content_hash, reason
on conflict (trace_id, span_id, namespace, content_hash, reason) where kind = 'content' do nothing;

-- insert_amendments --
-- Finalised workflows that late spans changed.
insert into callfare.journal (
  kind, reason, namespace, tenant_id, trace_id, finalised_at, span_count, old_tenant_id, new_tenant_id, old_cost_usd,
  new_cost_usd, old_unpriced_count, new_unpriced_count)
select
  'workflow', reason, namespace, new.tenant_id, trace_id, trace.finalised_at, span_count, new.tenant_id, new.tenant_id,
  before_usd::numeric, after_usd::numeric, before_unpriced, after_unpriced
from unnest(
  %(reason)b::text[], %(namespace)b::text[], %(tenant_id)b::text[], %(trace_id)b::uuid[], %(span_count)b::bigint[],
  %(before_usd)b::text[], %(after_usd)b::text[], %(before_unpriced)b::bigint[], %(after_unpriced)b::bigint[]
) as new (reason, namespace, tenant_id, trace_id, span_count, before_usd, after_usd, before_unpriced, after_unpriced)
join callfare.trace using (trace_id, namespace);

-- closings_for_writing --
-- The closed periods, under the lock that keeps them as they are until this transaction has ended.
select closing_id, tenant_id, month from callfare.closings_for_writing(%(lock)s);

-- insert_corrections --
-- Records of finalised workflows or of closed periods that changed, both sides of each.
insert into callfare.journal (
  kind, reason, namespace, tenant_id, trace_id, span_id, finalised_at, final_transaction_id,
  old_tenant_id, old_status, old_cost_usd, old_unpriced_count, old_started_at, old_quantities, old_labels, old_quote,
  new_tenant_id, new_status, new_cost_usd, new_unpriced_count, new_started_at, new_quantities, new_labels, new_quote)
select
  kind, reason, namespace, coalesce(new_tenant_id, old_tenant_id), trace_id, span_id,
  case when kind = 'record' then trace.finalised_at end, trace.final_transaction_id,
  old_tenant_id, old_status, old_cost_usd::numeric, old_unpriced_count, old_started_at, old_quantities::jsonb,
  old_labels::jsonb, old_quote::jsonb, new_tenant_id, new_status, new_cost_usd::numeric, new_unpriced_count, new_started_at,
  new_quantities::jsonb, new_labels::jsonb, new_quote::jsonb
from unnest(
  %(kind)b::text[], %(reason)b::text[], %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[],
  %(old_tenant_id)b::text[], %(old_status)b::text[], %(old_cost_usd)b::text[], %(old_unpriced_count)b::bigint[],
  %(old_started_at)b::timestamptz[], %(old_quantities)b::text[], %(old_labels)b::text[], %(old_quote)b::text[],
  %(new_tenant_id)b::text[], %(new_status)b::text[], %(new_cost_usd)b::text[], %(new_unpriced_count)b::bigint[],
  %(new_started_at)b::timestamptz[], %(new_quantities)b::text[], %(new_labels)b::text[], %(new_quote)b::text[]
) as new (
  kind, reason, namespace, trace_id, span_id,
  old_tenant_id, old_status, old_cost_usd, old_unpriced_count, old_started_at, old_quantities, old_labels, old_quote,
  new_tenant_id, new_status, new_cost_usd, new_unpriced_count, new_started_at, new_quantities, new_labels, new_quote)
join callfare.trace using (trace_id, namespace)
order by trace_id, span_id, namespace;

-- insert_closed_sides --
-- The sides of this transaction's postings that lie in closed periods. They are billed in the month that is running:
-- a month is closed after its end, so it has none of its corrections to come.
insert into callfare.correction (
  posting_id, is_reversal, closing_id, tenant_id, billed_month, cost_usd, unpriced_count, quote)
select
  posting_id, is_reversal, closing_id, side.tenant_id,
  date_trunc('month', clock_timestamp() at time zone 'UTC')::date,
  case when is_reversal then -side.cost_usd::numeric else side.cost_usd::numeric end,
  case when is_reversal then -unpriced_count else unpriced_count end, quote::jsonb
from unnest(
  %(namespace)b::text[], %(trace_id)b::uuid[], %(span_id)b::bigint[], %(is_reversal)b::boolean[],
  %(closing_id)b::bigint[], %(tenant_id)b::text[], %(cost_usd)b::text[], %(unpriced_count)b::bigint[], %(quote)b::text[]
) as side (namespace, trace_id, span_id, is_reversal, closing_id, tenant_id, cost_usd, unpriced_count, quote)
join callfare.journal using (trace_id, span_id, namespace)
where journal.transaction_id = pg_current_xact_id() and journal.kind in ('record', 'closed')
order by posting_id, is_reversal;

-- count_arrivals --
-- What stored spans cost that went out by a reservation or lease of the same credential. A call's reservation holds
-- nothing once its cost is known: here, in the transaction that adds this cost to what was spent.
with arrived as (
  select reservation.reservation_id, reservation.tenant_id, reservation.kind, new.arrived_usd::numeric as arrived_usd,
    new.priced_count, new.unpriced_count, new.lag_seconds
  from unnest(
    %(reservation_id)b::uuid[], %(namespace)b::text[], %(arrived_usd)b::text[], %(priced_count)b::bigint[],
    %(unpriced_count)b::bigint[], %(lag_seconds)b::bigint[]
  ) as new (reservation_id, namespace, arrived_usd, priced_count, unpriced_count, lag_seconds)
  join callfare.reservation using (reservation_id, namespace)
), counted as (
  insert into callfare.reservation_arrival as arrival (
    reservation_id, slot, tenant_id, arrived_usd, priced_count, unpriced_count, arrived_at, lag_seconds)
  select
    reservation_id, (pg_backend_pid() %% 16)::smallint, tenant_id, arrived_usd, priced_count, unpriced_count, now(),
    lag_seconds
  from arrived
  order by reservation_id
  on conflict (reservation_id, slot) do update set
    arrived_usd = arrival.arrived_usd + excluded.arrived_usd,
    priced_count = arrival.priced_count + excluded.priced_count,
    unpriced_count = arrival.unpriced_count + excluded.unpriced_count,
    arrived_at = excluded.arrived_at, lag_seconds = excluded.lag_seconds
  returning arrival.reservation_id
)
delete from callfare.reservation_hold as hold using arrived, counted
where hold.reservation_id = arrived.reservation_id and counted.reservation_id = arrived.reservation_id
  and arrived.kind = 'call' and arrived.priced_count > 0;

-- insert_dead_letters --
-- What cannot be kept as a record. The same letter again is another attempt.
insert into callfare.dead_letter as letter (
  is_tenant_trusted, received_at, namespace, reason, detail, trace_id, span_id, payload, payload_kind, digest)
select is_tenant_trusted, received_at, namespace, reason, detail, trace_id, span_id, payload, payload_kind, digest
from unnest(
  %(is_tenant_trusted)b::boolean[], %(received_at)b::timestamptz[], %(namespace)b::text[], %(reason)b::text[],
  %(detail)b::text[], %(trace_id)b::text[], %(span_id)b::text[], %(payload)b::bytea[], %(payload_kind)b::text[], %(digest)b::bytea[]
) as new (is_tenant_trusted, received_at, namespace, reason, detail, trace_id, span_id, payload, payload_kind, digest)
order by digest, namespace
on conflict (digest, namespace) do update set attempts = letter.attempts + 1;
