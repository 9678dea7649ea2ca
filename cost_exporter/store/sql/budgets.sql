-- Statements of `store/budgets`: budgets, and the money that they promise to calls and processes. Each grant locks
-- accounts in the order of their ids, and reads them by a later statement (`callfare.locked_budgets`).

-- put_budget --
-- Set a budget, or change the one of this name.
insert into callfare.budget as known (
  name, tenant_id, api_key_id, user_id, category, provider, model, time_window, limit_usd, thresholds, enforcement,
  unpriced, assumed_usd, raised_by_usd, raised_until, is_from_file)
values (
  %(name)s, %(tenant)s, %(api_key)s, %(user)s, %(category)s, %(provider)s, %(model)s, %(time_window)s, %(limit_usd)s,
  %(thresholds)s, %(enforcement)s, %(unpriced)s, %(assumed_usd)s, %(raised_by_usd)s, %(raised_until)s,
  %(is_from_file)s)
on conflict (name) do update set
  tenant_id = excluded.tenant_id, api_key_id = excluded.api_key_id, user_id = excluded.user_id,
  category = excluded.category, provider = excluded.provider, model = excluded.model,
  time_window = excluded.time_window, limit_usd = excluded.limit_usd, thresholds = excluded.thresholds,
  enforcement = excluded.enforcement, unpriced = excluded.unpriced, assumed_usd = excluded.assumed_usd,
  raised_by_usd = excluded.raised_by_usd, raised_until = excluded.raised_until, is_from_file = excluded.is_from_file,
  updated_at = now()
where (known.tenant_id, known.api_key_id, known.user_id, known.category, known.provider, known.model,
       known.time_window, known.limit_usd, known.thresholds, known.enforcement, known.unpriced, known.assumed_usd,
       known.raised_by_usd, known.raised_until, known.is_from_file)
  is distinct from (excluded.tenant_id, excluded.api_key_id, excluded.user_id, excluded.category, excluded.provider,
       excluded.model, excluded.time_window, excluded.limit_usd, excluded.thresholds, excluded.enforcement,
       excluded.unpriced, excluded.assumed_usd, excluded.raised_by_usd, excluded.raised_until, excluded.is_from_file);

-- open_own_account --
-- The account of a budget's own tenant; accounts of another tenant that it had before are closed.
with budget as (
  select budget_id, tenant_id from callfare.budget where name = %(name)s
), closed as (
  delete from callfare.budget_account as account using budget
  where account.budget_id = budget.budget_id and budget.tenant_id not in (account.tenant_id, '*')
)
insert into callfare.budget_account (budget_id, tenant_id)
select budget_id, tenant_id from budget where tenant_id <> '*'
on conflict (budget_id, tenant_id) do nothing;

-- budget_named --
-- One budget as it was set.
select * from callfare.budget where name = %(name)s;

-- all_budgets --
-- The budgets as they were set, all or those of one tenant.
select * from callfare.budget where %(tenant)s::text is null or tenant_id in (%(tenant)s, '*') order by name;

-- remove_budget --
-- Forget a budget, and what it held.
delete from callfare.budget where name = %(name)s;

-- remove_budgets_of_file --
-- Forget the budgets that were in the configuration file and are not any more.
delete from callfare.budget where is_from_file and name <> all(%(names)s);

-- budget_dimensions --
-- What the budgets of a tenant distinguish.
select distinct dimension, word
from callfare.budget
cross join lateral (values
  ('api_key', api_key_id), ('user', user_id), ('category', category), ('provider', provider), ('model', model)
) as named (dimension, word)
where tenant_id in (%(tenant)s, '*') and word is not null
order by 1, 2;

-- open_accounts --
-- Accounts of a tenant in the budgets that are for each tenant.
insert into callfare.budget_account (budget_id, tenant_id)
select budget.budget_id, %(tenant)s
from callfare.budgets_for(%(tenant)s, %(api_key)s, %(user)s, %(category)s, %(provider)s, %(model)s) as budget
where not exists (
  select from callfare.budget_account as account
  where account.budget_id = budget.budget_id and account.tenant_id = %(tenant)s)
order by 1
on conflict (budget_id, tenant_id) do nothing;

-- locked_budgets --
-- What the accounts of a call spent and hold, locked until the end of the transaction.
select * from callfare.locked_budgets(
  %(tenant)s, %(api_key)s, %(user)s, %(category)s, %(provider)s, %(model)s, %(at)s);

-- accounts_of_call --
-- The accounts of a call, without a lock.
select account.account_id
from callfare.budgets_for(%(tenant)s, %(api_key)s, %(user)s, %(category)s, %(provider)s, %(model)s) as budget
join callfare.budget_account as account on account.budget_id = budget.budget_id and account.tenant_id = %(tenant)s
order by account.account_id;

-- state_of_accounts --
-- What accounts spent and hold.
select * from callfare.budget_state(coalesce(%(at)s, statement_timestamp()))
where account_id = any(%(account_ids)s)
order by account_id;

-- reservation_of_request --
-- The reservation that the same request made before.
select reservation_id from callfare.reservation where namespace = %(namespace)s and request_key = %(request_key)s;

-- insert_reservation --
-- Hold money in several accounts.
with made as (
  insert into callfare.reservation (reservation_id, kind, namespace, tenant_id, process_id, state, request_key)
  values (%(reservation_id)s, %(kind)s, %(namespace)s, %(tenant)s, %(process_id)s, 'open', %(request_key)s)
  returning reservation_id, tenant_id
)
insert into callfare.reservation_hold (account_id, window_start, reservation_id, tenant_id, granted_usd)
select account_id, window_start, made.reservation_id, made.tenant_id, granted_usd
from made, unnest(%(account_ids)s::bigint[], %(window_starts)s::timestamptz[], %(granted_usd)s::numeric[])
  as hold (account_id, window_start, granted_usd)
order by account_id;

-- lock_reservation --
-- One reservation, whose state is about to change. Spans that carry its id are stored meanwhile.
select kind, state, tenant_id from callfare.reservation
where reservation_id = %(reservation_id)s and (%(namespace)s::text is null or namespace = %(namespace)s)
for no key update;

-- arrived_of_reservation --
-- What stored spans that carry its id cost.
select coalesce(sum(arrived_usd), 0) from callfare.reservation_arrival where reservation_id = %(reservation_id)s;

-- extend_reservation --
-- Let a call that goes on hold this in all, in the windows that run. What an earlier window holds for it stays there
-- until its spans arrive.
with alive as (
  update callfare.reservation set kind = 'session', heartbeat_at = now(), state = 'open', closed_at = null
  where reservation_id = %(reservation_id)s
)
insert into callfare.reservation_hold as hold (account_id, window_start, reservation_id, tenant_id, granted_usd)
select account_id, window_start, %(reservation_id)s::uuid, %(tenant)s, %(granted_usd)s::numeric
from unnest(%(account_ids)s::bigint[], %(window_starts)s::timestamptz[]) as new (account_id, window_start)
order by account_id
on conflict (account_id, window_start, reservation_id) do update set granted_usd = excluded.granted_usd;

-- close_reservation --
-- Set what has become of a reservation.
update callfare.reservation set state = %(state)s, closed_at = coalesce(closed_at, now())
where reservation_id = %(reservation_id)s;

-- hold_what_it_cost --
-- Hold what a call has cost instead of what was estimated, until its span arrives.
update callfare.reservation_hold set granted_usd = %(actual_usd)s where reservation_id = %(reservation_id)s;

-- drop_holds --
-- Hold nothing more for a reservation.
delete from callfare.reservation_hold where reservation_id = %(reservation_id)s;

-- lease_holds --
-- What a lease was granted by account and window, and what of it has arrived.
select
  hold.account_id, hold.window_start, hold.granted_usd,
  (select coalesce(sum(arrived_usd), 0) from callfare.reservation_arrival as arrival
   where arrival.reservation_id = hold.reservation_id) as arrived_usd
from callfare.reservation_hold as hold
where hold.reservation_id = %(reservation_id)s
order by hold.account_id;

-- grant_lease --
-- Change what a lease may spend in all. Its process is alive.
with alive as (
  update callfare.reservation set heartbeat_at = now(), state = 'open', closed_at = null
  where reservation_id = %(reservation_id)s
)
update callfare.reservation_hold set granted_usd = %(granted_usd)s where reservation_id = %(reservation_id)s;

-- beat --
-- The process of these reservations is alive, and the calls are under way.
update callfare.reservation set heartbeat_at = now()
where reservation_id = any(%(reservation_ids)s) and namespace = %(namespace)s and state = 'open';

-- expire_reservations --
-- Reservations whose process is silent, unless spans take so long to get here that it may only seem so.
with silent as (
  select reservation_id from callfare.reservation
  where state = 'open' and heartbeat_at < now() - %(silence)s::interval
    and coalesce((
      select max(lag_seconds) from callfare.reservation_arrival
      where arrived_at > now() - %(silence)s::interval), 0) < extract(epoch from %(silence)s::interval)
  order by reservation_id
  limit 10000
  for no key update skip locked
)
update callfare.reservation set state = 'expired', closed_at = now()
from silent where reservation.reservation_id = silent.reservation_id;

-- return_of_soft_budgets --
-- What budgets that refuse nothing hold for reservations that are over: it keeps nobody from anything.
delete from callfare.reservation_hold as hold
using callfare.reservation, callfare.budget_account as account, callfare.budget
where reservation.reservation_id = hold.reservation_id and reservation.state <> 'open'
  and reservation.closed_at < now() - case when reservation.state = 'expired' then interval '0' else %(silence)s end
  and account.account_id = hold.account_id and budget.budget_id = account.budget_id and budget.enforcement <> 'hard'
  and not exists (
    select from callfare.reservation_arrival as arrival
    where arrival.reservation_id = hold.reservation_id
    having sum(arrival.unpriced_count) > 0);

-- forget_past_holds --
-- What was held in windows that are over, a day later.
delete from callfare.reservation_hold as hold
using callfare.budget_account as account, callfare.budget
where account.account_id = hold.account_id and budget.budget_id = account.budget_id
  and callfare.window_end(budget.time_window, hold.window_start) < coalesce(%(at)s, now()) - interval '1 day';

-- forget_reservations --
-- Reservations that are over and hold nothing, an hour later.
delete from callfare.reservation
where reservation_id in (
  select reservation_id from callfare.reservation
  where state <> 'open' and closed_at < now() - interval '1 hour' and not exists (
    select from callfare.reservation_hold as hold where hold.reservation_id = reservation.reservation_id)
  order by reservation_id
  limit 10000
  for update skip locked);

-- held_by_the_expired --
-- What reservations of silent processes still hold, for `callfare budget status` to name and `release` to free.
select
  reservation.reservation_id, reservation.kind, budget.name, account.tenant_id, hold.window_start,
  case when reservation.kind = 'call' then hold.granted_usd else greatest(0, hold.granted_usd - (
    select coalesce(sum(arrived_usd), 0) from callfare.reservation_arrival as arrival
    where arrival.reservation_id = hold.reservation_id)) end as held_usd
from callfare.reservation
join callfare.reservation_hold as hold using (reservation_id)
join callfare.budget_account as account using (account_id)
join callfare.budget using (budget_id)
where reservation.state = 'expired' and hold.window_start = callfare.window_start(budget.time_window, coalesce(%(at)s, now()))
order by budget.name, account.tenant_id, reservation.reservation_id;

-- lock_accounts_of_budget --
-- The accounts of a budget that is about to change, locked so that nobody judges it meanwhile.
select account.account_id from callfare.budget_account as account join callfare.budget using (budget_id)
where budget.name = %(name)s
order by account.account_id
for update of account;

-- arm_alerts --
-- A limit that was raised lets the thresholds above what is spent fire again.
update callfare.alert set is_armed = true
from callfare.budget_state(statement_timestamp()) as state
where state.name = %(name)s and alert.kind = 'budget' and alert.tenant_id = state.tenant_id and alert.scope = state.name
  and alert.window_start = state.window_start and not alert.is_armed and alert.limit_usd < state.limit_usd
  and state.spent_usd * 100 < state.limit_usd * alert.threshold;
