-- Statements of `store/old_calls.py`: moving provider calls that were seen a while ago out of the index that grows.

-- has_old_calls --
-- Whether there are at least as many to move as this.
select count(*) >= %(count)s
from (select from callfare.provider_call where added_at < now() - %(age)s limit %(count)s) as old;

-- move_old_calls --
-- Move some, the next ones in the order of their keys, so that each page of the other index is written once for many.
with chosen as (
  select call_hash from callfare.provider_call
  where call_hash >= %(first_hash)s and added_at < now() - %(age)s
  order by call_hash
  limit %(count)s
  for update
),
gone as (
  delete from callfare.provider_call using chosen
  where provider_call.call_hash = chosen.call_hash
  returning provider_call.call_hash, provider_call.trace_id, provider_call.bucket, provider_call.is_shared
),
moved as (
  insert into callfare.provider_call_old as known (call_hash, trace_id, bucket, is_shared)
  select call_hash, trace_id, bucket, is_shared from gone order by call_hash
  on conflict (call_hash) do update set is_shared = known.is_shared or excluded.is_shared
  returning call_hash
)
select count(*) as moved_count, max(call_hash) as last_hash from moved;
