-- Statements of `store/ledger/` on the index of long traces, which are locked.

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
) as said (number, bucket, tenant, category, task, tier, user_id, api_key)
join callfare.long_trace using (number)
join callfare.record using (trace_id, namespace, bucket)
where record.tenant_id <> said.tenant or record.category <> said.category
  or (said.task is not null and record.task is distinct from said.task)
  or (said.tier is not null and record.tier is distinct from said.tier)
  or (said.user_id is not null and record.user_id is distinct from said.user_id)
  or (said.api_key is not null and record.api_key_id is distinct from said.api_key);

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
-- The greatest words of long traces, and whether a gateway is heard of in them.
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
