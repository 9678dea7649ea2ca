-- Hours and spenders hold what was paid for as well as what it cost, tasks and tiers are spenders too, and there are
-- months beside days: then a report by user, task or hour need not read the records, nor thirty days of each user.

alter table callfare.hourly_rollup add column total_tokens numeric not null default 0;
alter table callfare.hourly_rollup add column characters numeric not null default 0;
alter table callfare.hourly_rollup add column audio_seconds numeric not null default 0;
alter table callfare.hourly_rollup add column call_seconds numeric not null default 0;

alter table callfare.spend_rollup add column total_tokens numeric not null default 0;
alter table callfare.spend_rollup add column characters numeric not null default 0;
alter table callfare.spend_rollup add column audio_seconds numeric not null default 0;
alter table callfare.spend_rollup add column call_seconds numeric not null default 0;
alter table callfare.spend_rollup drop constraint spend_rollup_kind_check;
alter table callfare.spend_rollup add constraint spend_rollup_kind_check
  check (kind in ('api_key', 'user', 'task', 'tier', 'category', 'provider'));
alter table callfare.spend_rollup drop constraint spend_rollup_grain_check;
alter table callfare.spend_rollup add constraint spend_rollup_grain_check check (grain in ('hour', 'day', 'month'));

alter table callfare.hourly_purged add column total_tokens numeric not null default 0;
alter table callfare.hourly_purged add column characters numeric not null default 0;
alter table callfare.hourly_purged add column audio_seconds numeric not null default 0;
alter table callfare.hourly_purged add column call_seconds numeric not null default 0;

alter table callfare.spend_purged add column total_tokens numeric not null default 0;
alter table callfare.spend_purged add column characters numeric not null default 0;
alter table callfare.spend_purged add column audio_seconds numeric not null default 0;
alter table callfare.spend_purged add column call_seconds numeric not null default 0;

create or replace view callfare.record_hour with (security_invoker = true) as
select
  bucket, tenant_id, date_trunc('hour', started_at, 'UTC') as hour, category, provider, model, operation, api_key_id,
  user_id, cost_usd, request_count, unpriced_count, task, tier, input_tokens + output_tokens as total_tokens,
  characters, audio_seconds, call_seconds
from callfare.record_measure
where request_count > 0;

create or replace view callfare.record_spend with (security_invoker = true) as
select
  bucket, tenant_id, kind, hour as starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds
from callfare.record_hour
cross join lateral (values ('api_key', api_key_id), ('user', user_id), ('task', task), ('tier', tier))
  as named (kind, value)
where value is not null;

-- The sums are made anew, of the records and of what purged ones left behind.
delete from callfare.hourly_rollup;

insert into callfare.hourly_rollup (
  tenant_id, hour, category, provider, model, operation, slot, cost_usd, request_count, unpriced_count, total_tokens,
  characters, audio_seconds, call_seconds)
select
  tenant_id, hour, category, provider, model, operation, 0, sum(cost_usd), sum(request_count), sum(unpriced_count),
  sum(total_tokens), sum(characters), sum(audio_seconds), sum(call_seconds)
from (
  select tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count, total_tokens,
    characters, audio_seconds, call_seconds
  from callfare.record_hour
  union all
  select tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count, total_tokens,
    characters, audio_seconds, call_seconds
  from callfare.hourly_purged
) as each
group by tenant_id, hour, category, provider, model, operation;

delete from callfare.spend_rollup;

insert into callfare.spend_rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select
  tenant_id, kind, 'hour', starts_at, value, 0, sum(cost_usd), sum(request_count), sum(unpriced_count),
  sum(total_tokens), sum(characters), sum(audio_seconds), sum(call_seconds)
from (
  select tenant_id, kind, starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
    audio_seconds, call_seconds
  from callfare.record_spend
  union all
  select tenant_id, kind, starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
    audio_seconds, call_seconds
  from callfare.spend_purged
  union all
  select tenant_id, kind, hour, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
    audio_seconds, call_seconds
  from callfare.hourly_rollup
  cross join lateral (values ('category', category), ('provider', provider)) as named (kind, value)
) as each
group by tenant_id, kind, starts_at, value;

insert into callfare.spend_rollup (
  tenant_id, kind, grain, starts_at, value, slot, cost_usd, request_count, unpriced_count, total_tokens, characters,
  audio_seconds, call_seconds)
select
  tenant_id, kind, grain, date_trunc(grain, starts_at, 'UTC'), value, 0, sum(cost_usd), sum(request_count),
  sum(unpriced_count), sum(total_tokens), sum(characters), sum(audio_seconds), sum(call_seconds)
from (
  select tenant_id, kind, starts_at, value, cost_usd, request_count, unpriced_count, total_tokens, characters,
    audio_seconds, call_seconds
  from callfare.spend_rollup
) as hour cross join (values ('day'), ('month')) as longer (grain)
group by tenant_id, kind, grain, date_trunc(grain, starts_at, 'UTC'), value;

-- From here on a sum that is not given is a mistake.
alter table callfare.hourly_rollup alter column total_tokens drop default;
alter table callfare.hourly_rollup alter column characters drop default;
alter table callfare.hourly_rollup alter column audio_seconds drop default;
alter table callfare.hourly_rollup alter column call_seconds drop default;
alter table callfare.spend_rollup alter column total_tokens drop default;
alter table callfare.spend_rollup alter column characters drop default;
alter table callfare.spend_rollup alter column audio_seconds drop default;
alter table callfare.spend_rollup alter column call_seconds drop default;

-- Days and months of all tenants are found without reading the hours between them.
create index spend_rollup_by_time on callfare.spend_rollup (kind, grain, starts_at) where grain in ('day', 'month');
create index hourly_rollup_by_hour on callfare.hourly_rollup (hour);

create or replace view callfare.hourly_cost with (security_invoker = true) as
select
  tenant_id, hour, category, provider, model, operation, sum(request_count)::bigint as request_count,
  sum(unpriced_count)::bigint as unpriced_count, trim_scale(sum(cost_usd)) as cost_usd,
  sum(total_tokens)::bigint as total_tokens, sum(characters)::bigint as characters,
  trim_scale(sum(audio_seconds)) as audio_seconds, trim_scale(sum(call_seconds)) as call_seconds
from callfare.hourly_rollup
group by tenant_id, hour, category, provider, model, operation
having sum(request_count) <> 0;

create or replace view callfare.spend_by with (security_invoker = true) as
select
  tenant_id, kind, grain, starts_at, value, sum(request_count)::bigint as request_count,
  sum(unpriced_count)::bigint as unpriced_count, trim_scale(sum(cost_usd)) as cost_usd,
  sum(total_tokens)::bigint as total_tokens, sum(characters)::bigint as characters,
  trim_scale(sum(audio_seconds)) as audio_seconds, trim_scale(sum(call_seconds)) as call_seconds
from callfare.spend_rollup
group by tenant_id, kind, grain, starts_at, value
having sum(request_count) <> 0;

create or replace view callfare.hours_check with (security_invoker = true) as
with
  hourly_expected as (
    select tenant_id, hour, category, provider, model, operation,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count), sum(total_tokens), sum(characters),
            sum(audio_seconds), sum(call_seconds)] as sums
    from (
      select tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count,
        total_tokens, characters, audio_seconds, call_seconds
      from callfare.record_hour
      union all
      select tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count,
        total_tokens, characters, audio_seconds, call_seconds
      from callfare.hourly_purged
    ) as each
    group by tenant_id, hour, category, provider, model, operation
  ),
  hourly_found as (
    select tenant_id, hour, category, provider, model, operation,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count), sum(total_tokens), sum(characters),
            sum(audio_seconds), sum(call_seconds)] as sums
    from callfare.hourly_rollup
    group by tenant_id, hour, category, provider, model, operation
  ),
  spend_expected as (
    select tenant_id, kind, grain, starts_at, value,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count), sum(total_tokens), sum(characters),
            sum(audio_seconds), sum(call_seconds)] as sums
    from (
      select tenant_id, kind, 'hour' as grain, starts_at, value, cost_usd, request_count, unpriced_count,
        total_tokens, characters, audio_seconds, call_seconds
      from callfare.record_spend
      union all
      select tenant_id, kind, 'hour', starts_at, value, cost_usd, request_count, unpriced_count,
        total_tokens, characters, audio_seconds, call_seconds
      from callfare.spend_purged
      union all
      select tenant_id, kind, 'hour', hour, value, cost_usd, request_count, unpriced_count,
        total_tokens, characters, audio_seconds, call_seconds
      from callfare.hourly_rollup
      cross join lateral (values ('category', category), ('provider', provider)) as named (kind, value)
      union all
      select tenant_id, kind, longer.grain, date_trunc(longer.grain, starts_at, 'UTC'), value, cost_usd,
        request_count, unpriced_count, total_tokens, characters, audio_seconds, call_seconds
      from callfare.spend_rollup cross join (values ('day'), ('month')) as longer (grain)
      where spend_rollup.grain = 'hour'
    ) as each
    group by tenant_id, kind, grain, starts_at, value
  ),
  spend_found as (
    select tenant_id, kind, grain, starts_at, value,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count), sum(total_tokens), sum(characters),
            sum(audio_seconds), sum(call_seconds)] as sums
    from callfare.spend_rollup
    group by tenant_id, kind, grain, starts_at, value
  ),
  nothing as (select array_fill(0::numeric, array[7]) as sums)
select 'hourly_rollup' as problem, tenant_id,
  jsonb_build_object(
    'hour', hour, 'category', category, 'provider', provider, 'model', model, 'operation', operation) as key,
  to_jsonb(expected.sums::text[]) as expected, to_jsonb(found.sums::text[]) as found
from hourly_expected as expected full join hourly_found as found
  using (tenant_id, hour, category, provider, model, operation), nothing
where coalesce(expected.sums, nothing.sums) <> coalesce(found.sums, nothing.sums)
union all
select 'spend_rollup', tenant_id,
  jsonb_build_object('kind', kind, 'grain', grain, 'starts_at', starts_at, 'value', value),
  to_jsonb(expected.sums::text[]), to_jsonb(found.sums::text[])
from spend_expected as expected full join spend_found as found using (tenant_id, kind, grain, starts_at, value), nothing
where coalesce(expected.sums, nothing.sums) <> coalesce(found.sums, nothing.sums);
