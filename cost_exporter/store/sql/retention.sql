-- Statements of `store/retention.py`: dropping whole months.

-- months_to_purge --
-- The months of receipt before a day that still have their records.
select bucket from callfare.bucket where bucket < %(limit)s and purged_at is null order by bucket;

-- last_purged --
-- The newest month that lost its records.
select max(bucket) from callfare.bucket where purged_at is not null;

-- close_bucket --
-- Carry what the records of a month added to the days over into the closing balance, before they go.
insert into callfare.daily_purged as balance (
  tenant_id, day, category, provider, model, operation, cost_usd, request_count, unpriced_count, duplicate_count,
  llm_calls, input_tokens, output_tokens, characters, audio_seconds, call_seconds, duration_ns)
select
  tenant_id, day, category, provider, model, operation, sum(cost_usd), sum(request_count), sum(unpriced_count),
  sum(duplicate_count), sum(llm_calls), sum(input_tokens), sum(output_tokens), sum(characters), sum(audio_seconds),
  sum(call_seconds), sum(duration_ns)
from callfare.record_measure
where bucket = %(bucket)s
group by tenant_id, day, category, provider, model, operation
on conflict (tenant_id, day, category, provider, model, operation) do update set
  cost_usd = balance.cost_usd + excluded.cost_usd,
  request_count = balance.request_count + excluded.request_count,
  unpriced_count = balance.unpriced_count + excluded.unpriced_count,
  duplicate_count = balance.duplicate_count + excluded.duplicate_count,
  llm_calls = balance.llm_calls + excluded.llm_calls,
  input_tokens = balance.input_tokens + excluded.input_tokens,
  output_tokens = balance.output_tokens + excluded.output_tokens,
  characters = balance.characters + excluded.characters,
  audio_seconds = balance.audio_seconds + excluded.audio_seconds,
  call_seconds = balance.call_seconds + excluded.call_seconds,
  duration_ns = balance.duration_ns + excluded.duration_ns;

-- close_hours --
-- The same of the hours.
insert into callfare.hourly_purged as balance (
  tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count, total_tokens,
  characters, audio_seconds, call_seconds)
select
  tenant_id, hour, category, provider, model, operation, sum(cost_usd), sum(request_count), sum(unpriced_count),
  sum(total_tokens), sum(characters), sum(audio_seconds), sum(call_seconds)
from callfare.record_hour
where bucket = %(bucket)s
group by tenant_id, hour, category, provider, model, operation
on conflict (tenant_id, hour, category, provider, model, operation) do update set
  cost_usd = balance.cost_usd + excluded.cost_usd,
  request_count = balance.request_count + excluded.request_count,
  unpriced_count = balance.unpriced_count + excluded.unpriced_count,
  total_tokens = balance.total_tokens + excluded.total_tokens,
  characters = balance.characters + excluded.characters,
  audio_seconds = balance.audio_seconds + excluded.audio_seconds,
  call_seconds = balance.call_seconds + excluded.call_seconds;

-- close_spend --
-- The same of what API keys, users, tasks and tiers spent.
insert into callfare.spend_purged as balance (
  tenant_id, kind, starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters, audio_seconds,
  call_seconds)
select
  tenant_id, kind, starts_at, value, sum(cost_usd), sum(request_count), sum(unpriced_count), sum(total_tokens),
  sum(characters), sum(audio_seconds), sum(call_seconds)
from callfare.record_spend
where bucket = %(bucket)s
group by tenant_id, kind, starts_at, value
on conflict (tenant_id, kind, starts_at, value) do update set
  cost_usd = balance.cost_usd + excluded.cost_usd,
  request_count = balance.request_count + excluded.request_count,
  unpriced_count = balance.unpriced_count + excluded.unpriced_count,
  total_tokens = balance.total_tokens + excluded.total_tokens,
  characters = balance.characters + excluded.characters,
  audio_seconds = balance.audio_seconds + excluded.audio_seconds,
  call_seconds = balance.call_seconds + excluded.call_seconds;

-- forget_provider_calls --
-- Names of calls whose records are gone, some at a time.
delete from callfare.provider_call
where ctid = any(array(select ctid from callfare.provider_call where bucket = %(bucket)s limit %(count)s));

-- forget_old_provider_calls --
-- The same of those that were moved.
delete from callfare.provider_call_old
where ctid = any(array(select ctid from callfare.provider_call_old where bucket = %(bucket)s limit %(count)s));

-- forget_look_alikes --
-- Calls whose records are gone, some at a time.
delete from callfare.look_alike
where ctid = any(array(select ctid from callfare.look_alike where bucket = %(bucket)s limit %(count)s));

-- forget_timings --
-- What spans state of time and turns in months whose records are gone, some at a time.
delete from callfare.timing
where ctid = any(array(select ctid from callfare.timing where bucket = %(bucket)s limit %(count)s));

-- lock_month --
-- Stop the writers of one month.
select callfare.lock_month(%(bucket)s);

-- mark_purged --
-- From the commit on, a writer finds the month purged.
update callfare.bucket set purged_at = now() where bucket = %(bucket)s;

-- drop_month --
-- Delete the records of a month that is marked as purged.
select callfare.drop_month(%(bucket)s);

-- forget_long_spans --
-- The index of long traces whose records are gone, some spans at a time.
delete from callfare.long_span
where ctid = any(array(
  select long_span.ctid
  from callfare.long_trace
  join callfare.trace using (trace_id, namespace)
  join callfare.long_span using (number)
  where trace.bucket = %(bucket)s
  limit %(count)s));
