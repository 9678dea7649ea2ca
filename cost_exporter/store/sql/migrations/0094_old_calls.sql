-- Calls that were seen some hours ago move to a table of their own, so that every new one is added to a small index.

-- Which trace each call was first seen in, of those seen a while ago: looked up by every commit, added to by nobody but
-- the move. The same columns as `provider_call`, which holds the new ones.
create table callfare.provider_call_old (
  call_hash bigint primary key,
  trace_id  uuid not null,
  bucket    date not null,
  is_shared boolean not null default false
);

-- Null for what is not to be moved: slots of time, whose keys are in the order of time already and are locked here, and
-- what was stored before this step.
alter table callfare.provider_call add column added_at timestamptz;
comment on column callfare.provider_call.added_at is 'when the call was first seen; null for keys that stay in this table';
