-- Budgets. What was spent is read from the rollups, never counted here: there is one truth.
--
--   remaining = limit - spent (rollups) - reserved (holds)
--
-- Whoever grants money locks the accounts concerned, in the order of their ids, and reads what remains by a second
-- statement: the snapshot of the one that waited for the lock is older than the grant it waited for.

-- tenant_id '*': each tenant that has no budget of its own for the same window and the same calls.
create table callfare.budget (
  budget_id     bigint generated always as identity primary key,
  name          text not null unique check (length(name) between 1 and 100),
  tenant_id     text not null check (tenant_id <> ''),
  api_key_id    text,
  user_id       text,
  category      text,
  provider      text,
  model         text,
  time_window   text not null check (time_window in ('hour', 'day', 'month', 'total')),
  limit_usd     numeric not null check (limit_usd >= 0 and limit_usd < 1e12),
  thresholds    numeric[] not null,
  enforcement   text not null check (enforcement in ('hard', 'soft', 'shadow')),
  unpriced      text not null check (unpriced in ('refuse', 'allow', 'assume')),
  assumed_usd   numeric check (assumed_usd >= 0 and assumed_usd < 1e12),
  raised_by_usd numeric check (raised_by_usd >= 0 and raised_by_usd < 1e12),
  raised_until  timestamptz,
  is_from_file  boolean not null default false,
  updated_at    timestamptz not null default now(),
  constraint budget_assumed_check check ((unpriced = 'assume') = (assumed_usd is not null)),
  constraint budget_raised_check check ((raised_by_usd is null) = (raised_until is null)),
  -- Nothing sums a user's spending by model, or a key's by user.
  constraint budget_dimensions_check check (
    (user_id is null and api_key_id is null)
    or (category is null and provider is null and model is null and (user_id is null or api_key_id is null)))
);

-- One row for each tenant that a budget applies to: its lock.
create table callfare.budget_account (
  account_id bigint generated always as identity primary key,
  budget_id  bigint not null references callfare.budget on delete cascade,
  tenant_id  text not null check (tenant_id <> '' and tenant_id <> '*'),
  unique (budget_id, tenant_id)
);

-- Money promised: to one call, or as a lease to a process, which decides on its calls by itself.
create table callfare.reservation (
  reservation_id  uuid primary key,
  kind            text not null check (kind in ('call', 'lease')),
  namespace       text not null,
  tenant_id       text not null,
  process_id      text not null,
  state           text not null check (state in ('open', 'settled', 'released', 'returned', 'expired')),
  request_key     text,
  created_at      timestamptz not null default now(),
  heartbeat_at    timestamptz not null default now(),
  closed_at       timestamptz
);
create unique index reservation_once on callfare.reservation (namespace, request_key) where request_key is not null;
create index reservation_open on callfare.reservation (process_id, namespace) where state = 'open';
create index reservation_closed on callfare.reservation (closed_at) where state <> 'open';

-- What a reservation takes from an account, in the window in which it was granted. Deleted once nothing is held.
create table callfare.reservation_hold (
  account_id     bigint not null references callfare.budget_account on delete cascade,
  window_start   timestamptz not null,
  reservation_id uuid not null references callfare.reservation on delete cascade,
  tenant_id      text not null,
  granted_usd    numeric not null check (granted_usd >= 0 and granted_usd < 1e12),
  primary key (account_id, window_start, reservation_id)
);
create index reservation_hold_by_reservation on callfare.reservation_hold (reservation_id);

-- What the stored spans that carry a reservation's id cost, and how long the last one took to get here. Slots as in
-- the rollups.
create table callfare.reservation_arrival (
  reservation_id uuid not null references callfare.reservation on delete cascade,
  slot           smallint not null check (slot between 0 and 15),
  tenant_id      text not null,
  arrived_usd    numeric not null check (arrived_usd < 'Infinity'),
  priced_count   bigint not null,
  unpriced_count bigint not null,
  arrived_at     timestamptz not null,
  lag_seconds    integer not null,
  primary key (reservation_id, slot)
);

create function callfare.window_start(time_window text, at timestamptz) returns timestamptz
  language sql immutable parallel safe
  return case time_window
    when 'total' then timestamptz '1970-01-01 00:00:00+00'
    else date_trunc(time_window, at, 'UTC') end;

create function callfare.window_end(time_window text, at timestamptz) returns timestamptz
  language sql immutable parallel safe
  return case time_window
    when 'hour' then date_trunc('hour', at, 'UTC') + interval '1 hour'
    when 'day' then (date_trunc('day', at at time zone 'UTC') + interval '1 day') at time zone 'UTC'
    when 'month' then (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC' end;

-- A vendor answers a request for `gpt-4o` with `gpt-4o-2024-08-06`: the same model. `gpt-4o*` is all that begins so.
create function callfare.is_model(stated text, wanted text) returns boolean
  language sql immutable parallel safe
  return wanted is null or stated = wanted
    or (right(wanted, 1) = '*' and starts_with(stated, left(wanted, -1)))
    or (starts_with(stated, wanted) and substr(stated, length(wanted) + 1) ~ '^[-@:](\d{8}|\d{6}|\d{4}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2})$');

create function callfare.has_own_budget(general callfare.budget, its_tenant text) returns boolean
  language sql stable parallel safe as $$
  select exists (
    select from callfare.budget as own
    where own.tenant_id = its_tenant and own.time_window = general.time_window
      and (own.api_key_id, own.user_id, own.category, own.provider, own.model)
        is not distinct from (general.api_key_id, general.user_id, general.category, general.provider, general.model))
$$;

-- Budgets that apply to a call. A null word of the call is one that nobody stated.
create function callfare.budgets_for(
  its_tenant text, its_api_key text, its_user text, its_category text, its_provider text, its_model text
) returns setof callfare.budget
  language sql stable parallel safe as $$
  select budget.*
  from callfare.budget
  where budget.tenant_id in (its_tenant, '*')
    and (budget.api_key_id is null or budget.api_key_id = its_api_key)
    and (budget.user_id is null or budget.user_id = its_user)
    and (budget.category is null or budget.category = its_category)
    and (budget.provider is null or budget.provider = its_provider)
    and (budget.model is null or callfare.is_model(its_model, budget.model))
    and not (budget.tenant_id = '*' and callfare.has_own_budget(budget, its_tenant))
$$;

-- Every account in its window at a time. What it spent comes from the rollups, in the same snapshot as its holds.
create function callfare.budget_state(at timestamptz) returns table (
  account_id bigint, budget_id bigint, name text, tenant_id text, api_key_id text, user_id text, category text,
  provider text, model text, time_window text, window_start timestamptz, resets_at timestamptz, limit_usd numeric,
  spent_usd numeric, reserved_usd numeric, expired_usd numeric, unpriced_count bigint, enforcement text,
  unpriced text, assumed_usd numeric, thresholds numeric[], raised_until timestamptz, is_from_file boolean,
  is_for_each boolean, lease_count bigint
)
  language sql stable parallel safe as $$
  select
    account.account_id, budget.budget_id, budget.name, account.tenant_id, budget.api_key_id, budget.user_id,
    budget.category, budget.provider, budget.model, budget.time_window, bounds.starts_at, bounds.ends_at,
    budget.limit_usd + case when budget.raised_until > at then budget.raised_by_usd else 0 end,
    spent.cost_usd, held.reserved_usd, held.expired_usd, spent.unpriced_count, budget.enforcement,
    budget.unpriced, budget.assumed_usd, budget.thresholds,
    case when budget.raised_until > at then budget.raised_until end, budget.is_from_file, budget.tenant_id = '*',
    held.lease_count
  from callfare.budget_account as account
  join callfare.budget using (budget_id)
  cross join lateral (
    select callfare.window_start(budget.time_window, at) as starts_at,
      callfare.window_end(budget.time_window, at) as ends_at
  ) as bounds
  cross join lateral (
    select coalesce(sum(each.cost_usd), 0) as cost_usd, coalesce(sum(each.unpriced_count), 0)::bigint as unpriced_count
    from (
      select by_hour.cost_usd, by_hour.unpriced_count from callfare.hourly_cost as by_hour
      where budget.time_window = 'hour' and budget.user_id is null and budget.api_key_id is null
        and by_hour.tenant_id = account.tenant_id and by_hour.hour = bounds.starts_at
        and (budget.category is null or by_hour.category = budget.category)
        and (budget.provider is null or by_hour.provider = budget.provider)
        and callfare.is_model(by_hour.model, budget.model)
      union all
      select by_day.cost_usd, by_day.unpriced_count from callfare.daily_cost as by_day
      where budget.time_window <> 'hour' and budget.user_id is null and budget.api_key_id is null
        and by_day.tenant_id = account.tenant_id and by_day.day >= (bounds.starts_at at time zone 'UTC')::date
        and by_day.day < coalesce((bounds.ends_at at time zone 'UTC')::date, 'infinity'::date)
        and (budget.category is null or by_day.category = budget.category)
        and (budget.provider is null or by_day.provider = budget.provider)
        and callfare.is_model(by_day.model, budget.model)
      union all
      select by_one.cost_usd, by_one.unpriced_count from callfare.spend_by as by_one
      where budget.time_window in ('hour', 'day') and by_one.grain = budget.time_window
        and by_one.tenant_id = account.tenant_id
        and by_one.kind = case when budget.user_id is null then 'api_key' else 'user' end
        and by_one.value = coalesce(budget.user_id, budget.api_key_id) and by_one.starts_at = bounds.starts_at
      union all
      select by_one.cost_usd, by_one.unpriced_count from callfare.spend_by as by_one
      where budget.time_window in ('month', 'total') and by_one.grain = 'day' and by_one.tenant_id = account.tenant_id
        and by_one.kind = case when budget.user_id is null then 'api_key' else 'user' end
        and by_one.value = coalesce(budget.user_id, budget.api_key_id) and by_one.starts_at >= bounds.starts_at
        and by_one.starts_at < coalesce(bounds.ends_at, 'infinity')
    ) as each
  ) as spent
  cross join lateral (
    select
      coalesce(sum(each.held_usd), 0) as reserved_usd,
      coalesce(sum(each.held_usd) filter (where each.state = 'expired'), 0) as expired_usd,
      count(*) filter (where each.kind = 'lease' and each.state = 'open') as lease_count
    from (
      select reservation.kind, reservation.state,
        case when reservation.kind = 'call' then hold.granted_usd else greatest(0, hold.granted_usd - (
          select coalesce(sum(arrived_usd), 0) from callfare.reservation_arrival as arrival
          where arrival.reservation_id = hold.reservation_id)) end as held_usd
      from callfare.reservation_hold as hold join callfare.reservation using (reservation_id)
      where hold.account_id = account.account_id and hold.window_start = bounds.starts_at
    ) as each
  ) as held
  where budget.tenant_id <> '*' or not callfare.has_own_budget(budget, account.tenant_id)
$$;

create view callfare.budget_status with (security_invoker = true) as
select
  name, tenant_id, api_key_id, user_id, category, provider, model, time_window as "window", window_start, resets_at,
  trim_scale(limit_usd) as limit_usd, trim_scale(spent_usd) as spent_usd, trim_scale(reserved_usd) as reserved_usd,
  trim_scale(limit_usd - spent_usd - reserved_usd) as remaining_usd,
  case when limit_usd > 0 then round(spent_usd * 100 / limit_usd, 1) end as utilisation,
  enforcement, unpriced, trim_scale(assumed_usd) as assumed_usd, unpriced_count, trim_scale(expired_usd) as expired_usd,
  thresholds, raised_until, is_for_each, is_from_file
from callfare.budget_state(statement_timestamp());
