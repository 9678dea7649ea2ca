-- Ids that too many calls share, and calls that are looked for in other traces by model, usage, service and time.

-- An id, or a slot of time, that too many calls share identifies nothing any more.
alter table callfare.provider_call add column is_shared boolean not null default false;
comment on column callfare.provider_call.is_shared is 'too many calls have this key: it joins no traces';

-- The keys of `provider_call` that are shared, as far as calls of this trace have them: 8 bytes a key.
alter table callfare.trace add column shared_keys bytea not null default '';

-- By which key two traces are joined, so that they can be parted when it turns out to be shared. 0: before this step.
alter table callfare.trace_join add column call_hash bigint not null default 0;
alter table callfare.trace_join drop constraint trace_join_pkey;
alter table callfare.trace_join add primary key (trace_id, namespace, other_trace_id, call_hash);

-- Calls that are roots, or a framework's, under one key for each slot of time: model, input and service are in the
-- key, whose upper bits are the time, so that keys of one time lie together.
create table callfare.look_alike (
  call_hash     bigint not null,
  namespace     text not null,
  trace_id      uuid not null,
  span_id       bigint not null,
  bucket        date not null,
  scope         text not null,
  started_at_ns bigint not null,
  ended_at_ns   bigint not null,
  output_tokens bigint,
  call_id       text not null,
  is_root       boolean not null,
  primary key (call_hash, trace_id, span_id, namespace, scope)
);
