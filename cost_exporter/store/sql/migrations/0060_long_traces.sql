-- Traces of many spans: what ties their calls together, so that one more span need not read all the others.
--
-- A trace becomes long when it is added to and has many spans already. From then on its links are rows here instead of
-- bytes in `trace`, and each call has a row beside its record with what it may have in common with others. Only the
-- ledger's own writer reads these, under the lock of the trace.

create table callfare.long_trace (
  number    bigint generated always as identity primary key,
  trace_id  uuid not null,
  namespace text not null,
  words     jsonb not null check (jsonb_typeof(words) = 'object'),
  has_gateway boolean not null default false,
  unique (trace_id, namespace)
);

create table callfare.long_span (
  number         bigint not null,
  span_id        bigint not null,
  is_link        boolean not null,
  is_look_alike  boolean not null,
  parent_span_id bigint,
  started_ns     bigint,
  ended_ns       bigint,
  length_class   smallint,
  identity       bigint,
  session        bigint,
  usage          bigint,
  uncached       bigint,
  words          jsonb check (jsonb_typeof(words) = 'object'),
  root           jsonb check (jsonb_typeof(root) = 'array'),
  primary key (number, span_id, is_link),
  constraint links_have_no_ties check (not is_link or coalesce(identity, session, usage, uncached) is null)
);
-- One index a question, each by a hash that only this question asks for: which of two indexes is better is guessed from
-- sizes, and what is known of these is old while a trace grows.
create index long_span_below on callfare.long_span (hashint8extended(parent_span_id, number));
create index long_span_identity on callfare.long_span (hashint8extended(identity, number)) where identity is not null;
create index long_span_session on callfare.long_span (hashint8extended(session, number)) where session is not null;
create index long_span_usage on callfare.long_span (hashint8extended(usage, number * 16 + length_class), started_ns)
  where usage is not null;
create index long_span_uncached on callfare.long_span (hashint8extended(uncached, number * 16 + length_class), started_ns)
  where uncached is not null;
create index long_span_roots on callfare.long_span (number, started_ns, span_id)
  where root is not null;

-- All spans that are tied to the given ones, with the spans above them. `way` says where a span leads on to:
--   0  a call: everything that may be tied to it
--   1  a span above one: further up
--   2  a span below one: further down, to the calls below; these spans themselves are not returned
-- A span that only looks like a call leads nowhere else; below a call it is returned because it inherits.
--
-- The settings keep to the indexes. `number + 0` keeps to the index that the hash is in.
create function callfare.tied_spans(
  of_number bigint[], of_span_id bigint[], of_way bigint[], untied_number bigint[], untied_identity bigint[],
  lengths_max_ns bigint[], slack_ns bigint
) returns table (found_number bigint, found_span_id bigint)
language plpgsql stable
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
as $$
begin
  return query
  with recursive reached (number, span_id, way) as (
    select seed.number, seed.span_id, seed.way::smallint
    from unnest(of_number, of_span_id, of_way) as seed (number, span_id, way)
    union
    select reached.number, next.span_id, next.way
    from reached
    cross join lateral (
      select above.span_id, (case when above.usage is null then 1 else 0 end)::smallint as way
      from callfare.long_span as here
      join callfare.long_span as above on above.number = here.number and above.span_id = here.parent_span_id
      where here.number = reached.number and here.span_id = reached.span_id and reached.way < 2
      union all
      select below.span_id, ways.way
      from callfare.long_span as below
      cross join lateral unnest(case
        when below.usage is not null then '{0}'::smallint[]
        when below.is_look_alike then '{1,2}'
        else '{2}' end) as ways (way)
      where hashint8extended(below.parent_span_id, below.number) = hashint8extended(reached.span_id, reached.number)
        and below.parent_span_id = reached.span_id and below.number + 0 = reached.number and reached.way in (0, 2)
      union all
      select other.span_id, 0::smallint
      from callfare.long_span as here
      join callfare.long_span as other
        on hashint8extended(other.identity, other.number) = hashint8extended(here.identity, here.number)
        and other.identity = here.identity and other.number + 0 = here.number
      where here.number = reached.number and here.span_id = reached.span_id and reached.way = 0
        and not exists (
          select from unnest(untied_number, untied_identity) as untied (number, identity)
          where untied.number = here.number and untied.identity = here.identity)
      union all
      select other.span_id, 0::smallint
      from callfare.long_span as here
      join callfare.long_span as other
        on hashint8extended(other.session, other.number) = hashint8extended(here.session, here.number)
        and other.session = here.session and other.number + 0 = here.number
      where here.number = reached.number and here.span_id = reached.span_id and reached.way = 0
      union all
      select other.span_id, 0::smallint
      from callfare.long_span as here
      cross join lateral unnest(lengths_max_ns) with ordinality as class (length_max_ns, place)
      join callfare.long_span as other
        on hashint8extended(other.usage, other.number * 16 + other.length_class)
          = hashint8extended(here.usage, here.number * 16 + class.place - 1)
        and other.usage = here.usage and other.number + 0 = here.number and other.length_class = class.place - 1
        and other.started_ns between here.started_ns - class.length_max_ns - slack_ns and here.ended_ns + slack_ns
      where here.number = reached.number and here.span_id = reached.span_id and reached.way = 0
        and other.ended_ns + slack_ns >= here.started_ns
      union all
      select other.span_id, 0::smallint
      from callfare.long_span as here
      cross join lateral unnest(lengths_max_ns) with ordinality as class (length_max_ns, place)
      join callfare.long_span as other
        on hashint8extended(other.uncached, other.number * 16 + other.length_class)
          = hashint8extended(here.uncached, here.number * 16 + class.place - 1)
        and other.uncached = here.uncached and other.number + 0 = here.number and other.length_class = class.place - 1
        and other.started_ns between here.started_ns - class.length_max_ns - slack_ns and here.ended_ns + slack_ns
      where here.number = reached.number and here.span_id = reached.span_id and reached.way = 0
        and other.ended_ns + slack_ns >= here.started_ns
    ) as next
  )
  select distinct reached.number, reached.span_id from reached where reached.way < 2;
end
$$;

-- Which of these spans have a call, or a span that looks like one, below them.
create function callfare.have_call_below(of_number bigint[], of_span_id bigint[])
returns table (found_number bigint, found_span_id bigint)
language plpgsql stable
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
as $$
begin
  return query
  select asked.number, asked.span_id
  from unnest(of_number, of_span_id) as asked (number, span_id)
  cross join lateral (
    with recursive reached (span_id, is_link) as (
      select asked.span_id, true
      union
      select below.span_id, below.is_link
      from reached
      join callfare.long_span as below
        on hashint8extended(below.parent_span_id, below.number) = hashint8extended(reached.span_id, asked.number)
        and below.parent_span_id = reached.span_id and below.number + 0 = asked.number
      where reached.is_link
    )
    select from reached where not reached.is_link limit 1
  ) as call;
end
$$;

-- The index of a long trace holds exactly its records.
create view callfare.long_trace_check with (security_invoker = true) as
select 'long_trace' as problem, trace.tenant_id,
  jsonb_build_object('namespace', namespace, 'trace_id', trace_id) as key,
  jsonb_build_object('record_count', trace.record_count) as expected,
  jsonb_build_object('record_count', counted.record_count) as found
from callfare.long_trace
join callfare.trace using (trace_id, namespace)
cross join lateral (
  select count(*) as record_count from callfare.long_span
  where long_span.number = long_trace.number and not long_span.is_link
) as counted
where counted.record_count <> trace.record_count
  and not exists (select from callfare.bucket where bucket.bucket = trace.bucket and purged_at is not null);

create or replace view callfare.integrity_check as
select problem, tenant_id, key, expected, found from callfare.record_check
union all
select problem, tenant_id, key, expected, found from callfare.workflow_total_check
union all
select problem, tenant_id, key, expected, found from callfare.hours_check
union all
select problem, tenant_id, key, expected, found from callfare.long_trace_check;
alter view callfare.integrity_check set (security_invoker = true);
