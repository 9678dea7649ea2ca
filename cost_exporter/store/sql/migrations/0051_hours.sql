-- Sums by the hour beside those by the day, and what each API key, user, category and provider spent, by the hour
-- and by the day. Slots as in daily_rollup: each writer adds in one of its own, the sum over the slots counts.

create table callfare.hourly_rollup (
  tenant_id      text not null,
  hour           timestamptz not null,
  category       text not null,
  provider       text not null,
  model          text not null,
  operation      text not null,
  slot           smallint not null check (slot between 0 and 15),
  cost_usd       numeric not null check (cost_usd < 'Infinity'),
  request_count  bigint not null,
  unpriced_count bigint not null,
  primary key (tenant_id, hour, category, provider, model, operation, slot)
) with (fillfactor = 50);

-- The day is there too because a month of days is read in a moment and a month of hours is not.
create table callfare.spend_rollup (
  tenant_id      text not null,
  kind           text not null check (kind in ('api_key', 'user', 'category', 'provider')),
  grain          text not null check (grain in ('hour', 'day')),
  starts_at      timestamptz not null,
  value          text not null,
  slot           smallint not null check (slot between 0 and 15),
  cost_usd       numeric not null check (cost_usd < 'Infinity'),
  request_count  bigint not null,
  unpriced_count bigint not null,
  primary key (tenant_id, kind, grain, starts_at, value, slot)
) with (fillfactor = 50);

-- What purged records had added: closing balances, as daily_purged is for the days. Of spend_rollup only what is not
-- a sum of hourly_rollup.
create table callfare.hourly_purged (
  tenant_id      text not null,
  hour           timestamptz not null,
  category       text not null,
  provider       text not null,
  model          text not null,
  operation      text not null,
  cost_usd       numeric not null,
  request_count  bigint not null,
  unpriced_count bigint not null,
  primary key (tenant_id, hour, category, provider, model, operation)
);

create table callfare.spend_purged (
  tenant_id      text not null,
  kind           text not null,
  starts_at      timestamptz not null,
  value          text not null,
  cost_usd       numeric not null,
  request_count  bigint not null,
  unpriced_count bigint not null,
  primary key (tenant_id, kind, starts_at, value)
);

-- What each record adds to an hour, and to an hour of its API key and user; computed from the record alone.
create view callfare.record_hour as
select
  bucket, tenant_id, date_trunc('hour', started_at, 'UTC') as hour, category, provider, model, operation, api_key_id,
  user_id, coalesce(cost_usd, 0) as cost_usd, 1 as request_count,
  (status in ('unpriced', 'no_usage', 'invalid', 'partial'))::int as unpriced_count
from callfare.record
where status <> 'duplicate';

create view callfare.record_spend as
select bucket, tenant_id, kind, hour as starts_at, value, cost_usd, request_count, unpriced_count
from callfare.record_hour
cross join lateral (values ('api_key', api_key_id), ('user', user_id)) as named (kind, value)
where value is not null;

insert into callfare.hourly_rollup
select
  tenant_id, hour, category, provider, model, operation, 0, sum(cost_usd), sum(request_count), sum(unpriced_count)
from callfare.record_hour
group by tenant_id, hour, category, provider, model, operation;

insert into callfare.spend_rollup
select tenant_id, kind, 'hour', starts_at, value, 0, sum(cost_usd), sum(request_count), sum(unpriced_count)
from callfare.record_spend
group by tenant_id, kind, starts_at, value;

insert into callfare.spend_rollup
select tenant_id, kind, 'hour', hour, value, 0, sum(cost_usd), sum(request_count), sum(unpriced_count)
from callfare.hourly_rollup
cross join lateral (values ('category', category), ('provider', provider)) as named (kind, value)
group by tenant_id, kind, hour, value;

insert into callfare.spend_rollup
select
  tenant_id, kind, 'day', date_trunc('day', starts_at, 'UTC'), value, 0, sum(cost_usd), sum(request_count),
  sum(unpriced_count)
from callfare.spend_rollup
group by tenant_id, kind, date_trunc('day', starts_at, 'UTC'), value;

create view callfare.hourly_cost as
select
  tenant_id, hour, category, provider, model, operation, sum(request_count)::bigint as request_count,
  sum(unpriced_count)::bigint as unpriced_count, trim_scale(sum(cost_usd)) as cost_usd
from callfare.hourly_rollup
group by tenant_id, hour, category, provider, model, operation
having sum(request_count) <> 0;

create view callfare.spend_by as
select
  tenant_id, kind, grain, starts_at, value, sum(request_count)::bigint as request_count,
  sum(unpriced_count)::bigint as unpriced_count, trim_scale(sum(cost_usd)) as cost_usd
from callfare.spend_rollup
group by tenant_id, kind, grain, starts_at, value
having sum(request_count) <> 0;

create view callfare.hours_check as
with
  hourly_expected as (
    select tenant_id, hour, category, provider, model, operation,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count)] as sums
    from (
      select tenant_id, hour, category, provider, model, operation, cost_usd, request_count, unpriced_count
      from callfare.record_hour
      union all
      select * from callfare.hourly_purged
    ) as each
    group by tenant_id, hour, category, provider, model, operation
  ),
  hourly_found as (
    select tenant_id, hour, category, provider, model, operation,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count)] as sums
    from callfare.hourly_rollup
    group by tenant_id, hour, category, provider, model, operation
  ),
  spend_expected as (
    select tenant_id, kind, grain, starts_at, value,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count)] as sums
    from (
      select tenant_id, kind, 'hour' as grain, starts_at, value, cost_usd, request_count, unpriced_count
      from callfare.record_spend
      union all
      select tenant_id, kind, 'hour', starts_at, value, cost_usd, request_count, unpriced_count
      from callfare.spend_purged
      union all
      select tenant_id, kind, 'hour', hour, value, cost_usd, request_count, unpriced_count
      from callfare.hourly_rollup
      cross join lateral (values ('category', category), ('provider', provider)) as named (kind, value)
      union all
      select tenant_id, kind, 'day', date_trunc('day', starts_at, 'UTC'), value, cost_usd, request_count, unpriced_count
      from callfare.spend_rollup
      where grain = 'hour'
    ) as each
    group by tenant_id, kind, grain, starts_at, value
  ),
  spend_found as (
    select tenant_id, kind, grain, starts_at, value,
      array[sum(cost_usd), sum(request_count), sum(unpriced_count)] as sums
    from callfare.spend_rollup
    group by tenant_id, kind, grain, starts_at, value
  ),
  nothing as (select array_fill(0::numeric, array[3]) as sums)
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

create or replace view callfare.integrity_check as
select problem, tenant_id, key, expected, found from callfare.record_check
union all
select problem, tenant_id, key, expected, found from callfare.workflow_total_check
union all
select problem, tenant_id, key, expected, found from callfare.hours_check;
