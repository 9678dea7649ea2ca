-- Statements of `store/alerts`: what is worth an alert, and who still has to get it.

-- judge_is_there --
-- Somebody judges: let marks be made.
update callfare.alert_judge set judged_at = now();

-- take_marks --
-- Who spent since the last time. They come back if the transaction that judges fails.
delete from callfare.spend_mark
where mark_id in (select mark_id from callfare.spend_mark order by mark_id limit 10000 for update skip locked)
returning tenant_id, service_name;

-- see_services --
-- When services sent something. After a week of silence one begins again.
insert into callfare.service_seen as seen (tenant_id, service_name, first_seen_at, last_seen_at)
select tenant_id, service_name, %(now)s, %(now)s
from unnest(%(tenant_id)s::text[], %(service_name)s::text[]) as new (tenant_id, service_name)
order by 1, 2
on conflict (tenant_id, service_name) do update set
  first_seen_at = case when excluded.last_seen_at - seen.last_seen_at > interval '7 days' then excluded.first_seen_at
    else seen.first_seen_at end,
  longest_gap = case when excluded.last_seen_at - seen.last_seen_at > interval '7 days' then interval '0'
    else greatest(seen.longest_gap, excluded.last_seen_at - seen.last_seen_at) end,
  last_seen_at = greatest(seen.last_seen_at, excluded.last_seen_at);

-- tenants_of_late --
-- Who spent since a day.
select distinct tenant_id from callfare.daily_rollup where day >= %(since)s::date order by 1;

-- open_accounts_of --
-- Accounts of tenants in the budgets that are for each tenant.
insert into callfare.budget_account (budget_id, tenant_id)
select budget.budget_id, tenant
from callfare.budget cross join unnest(%(tenants)s::text[]) as tenant
where budget.tenant_id = '*' and not callfare.has_own_budget(budget, tenant) and not exists (
  select from callfare.budget_account as account
  where account.budget_id = budget.budget_id and account.tenant_id = tenant)
order by 1, 2
on conflict (budget_id, tenant_id) do nothing;

-- accounts_of_tenants --
-- The accounts of tenants, without a lock.
select account_id, tenant_id from callfare.budget_account where tenant_id = any(%(tenants)s) order by account_id;

-- version_of_budgets --
-- Changes with any budget.
select count(*), max(updated_at), max(budget_id) from callfare.budget;

-- spent_by_tenants --
-- What tenants spent in all on the days that windows can still be judged for.
select tenant_id, sum(cost_usd) as cost_usd
from callfare.daily_rollup
where tenant_id = any(%(tenants)s) and day >= (%(now)s at time zone 'UTC')::date - 1
group by tenant_id;

-- distance_to_thresholds --
-- How much accounts have left to the next threshold of which there is no alert yet; null where there is none.
select
  state.account_id, state.tenant_id as tenant, state.resets_at,
  min(state.limit_usd * reached.threshold / 100 - state.spent_usd) filter (
    where state.spent_usd * 100 < state.limit_usd * reached.threshold) as left_usd
from callfare.budget_state(%(at)s) as state
left join lateral unnest(state.thresholds) as reached (threshold) on true
where state.account_id = any(%(account_ids)s)
group by state.account_id, state.tenant_id, state.resets_at;

-- lock_accounts_by_id --
-- Lock accounts in the order of their ids.
select account_id from callfare.budget_account where account_id = any(%(account_ids)s) order by account_id for update;

-- crossed_budgets --
-- Budgets of which so much is spent that a threshold is reached, and for which there is no alert yet. A window that was over
-- already counts only for a budget that was as it is then.
select
  state.account_id, state.name, state.tenant_id, state.api_key_id, state.user_id, state.category, state.provider,
  state.model, state.time_window, state.window_start, state.resets_at, state.limit_usd, state.spent_usd,
  state.reserved_usd, state.unpriced_count, state.enforcement, reached.threshold
from callfare.budget_state(%(at)s) as state
join callfare.budget using (budget_id)
cross join unnest(state.thresholds) as reached (threshold)
where state.account_id = any(%(account_ids)s)
  and (state.resets_at is null or state.resets_at > %(now)s or budget.updated_at < state.resets_at)
  and state.spent_usd > 0 and state.spent_usd * 100 >= state.limit_usd * reached.threshold
  and not exists (
    select from callfare.alert
    where alert.kind = 'budget' and alert.tenant_id = state.tenant_id and alert.scope = state.name
      and alert.window_start = state.window_start and alert.threshold = reached.threshold
      and (not alert.is_armed or alert.limit_usd >= state.limit_usd))
order by state.account_id, reached.threshold;

-- insert_alert --
-- An alert that nobody made yet, and who has to get it. Only a budget has further rounds.
with known as (
  select count(*)::integer as rounds, coalesce(bool_or(not is_armed), false) as is_made from callfare.alert
  where kind = %(kind)s and tenant_id = %(tenant)s and scope = %(scope)s and window_start = %(window_start)s
    and threshold = %(threshold)s
), made as (
  insert into callfare.alert (kind, tenant_id, scope, window_start, threshold, round, limit_usd, facts)
  select %(kind)s, %(tenant)s, %(scope)s, %(window_start)s, %(threshold)s, rounds, %(limit_usd)s, %(facts)s::jsonb
  from known
  where not is_made
  on conflict (kind, tenant_id, scope, window_start, threshold, round) do nothing
  returning alert_id, tenant_id
)
insert into callfare.alert_delivery (alert_id, tenant_id, receiver)
select alert_id, tenant_id, receiver from made cross join unnest(%(receivers)s::text[]) as receiver
returning alert_id;

-- top_spenders --
-- Who spent most of a tenant's money in a window: users and keys, where calls name them, else categories.
select kind, value, sum(cost_usd) as cost_usd
from callfare.spend_by
where tenant_id = %(tenant)s and grain = %(grain)s and kind in ('user', 'api_key', 'category') and cost_usd > 0
  and starts_at >= %(since)s and starts_at < coalesce(%(until)s::timestamptz, 'infinity')
group by kind, value
order by cost_usd desc, kind desc, value
limit 3;

-- top_models_of_hour --
-- On which models most was spent in an hour, of the calls that a budget counts.
select 'model' as kind, model as value, sum(cost_usd) as cost_usd
from callfare.hourly_cost
where tenant_id = %(tenant)s and cost_usd > 0 and hour = %(since)s
  and (%(category)s::text is null or category = %(category)s)
  and (%(provider)s::text is null or provider = %(provider)s)
  and callfare.is_model(model, %(model)s::text)
group by model
order by cost_usd desc, value
limit 3;

-- top_models_of_days --
-- The same of whole days.
select 'model' as kind, model as value, sum(cost_usd) as cost_usd
from callfare.daily_cost
where tenant_id = %(tenant)s and cost_usd > 0 and day >= (%(since)s at time zone 'UTC')::date
  and day < coalesce((%(until)s::timestamptz at time zone 'UTC')::date, 'infinity'::date)
  and (%(category)s::text is null or category = %(category)s)
  and (%(provider)s::text is null or provider = %(provider)s)
  and callfare.is_model(model, %(model)s::text)
group by model
order by cost_usd desc, value
limit 3;

-- unpriced_usage --
-- Calls of the last two days that have no price, by tenant, day, provider and model, that no alert names yet.
select tenant_id, day, provider, model, sum(unpriced_count)::bigint as unpriced_count
from callfare.daily_rollup as rollup
where tenant_id = any(%(tenants)s) and day >= %(since)s::date
group by tenant_id, day, provider, model
having sum(unpriced_count) > 0 and not exists (
  select from callfare.alert
  where alert.kind = 'unpriced' and alert.tenant_id = rollup.tenant_id
    and alert.window_start = rollup.day::timestamp at time zone 'UTC'
    and alert.scope = rollup.provider || '/' || rollup.model)
order by 1, 2, 5 desc, 3, 4
limit 1000;

-- count_alerts --
-- How many alerts of a kind a tenant had in a window.
select count(*) from callfare.alert
where kind = %(kind)s and tenant_id = %(tenant)s and window_start = %(window_start)s;

-- workflows_over --
-- Workflows that cost more than an amount, added to lately, that no alert names yet.
select
  total.tenant_id, total.trace_id, trace.workflow_name, trace.workflow_id, total.started_at, total.cost_usd,
  total.unpriced_count
from callfare.workflow_total as total
join callfare.trace using (trace_id, namespace)
where total.tenant_id = any(%(tenants)s) and total.cost_usd > %(over_usd)s and trace.last_received_at > %(since)s
  and not exists (
    select from callfare.alert
    where alert.kind = 'workflow_over' and alert.tenant_id = total.tenant_id and alert.threshold = %(over_usd)s
      and alert.scope = replace(total.trace_id::text, '-', ''))
order by total.started_at, total.trace_id
limit 1000;

-- report_is_made --
-- Whether there is a report of a period already.
select exists (
  select from callfare.alert
  where kind = 'report' and tenant_id = %(tenant)s and scope = %(scope)s and window_start = %(window_start)s) as is_made;

-- hours_of_spend --
-- What each tenant spent in an hour, and in the same hour of the days before.
select tenant_id, hour, sum(cost_usd) as cost_usd, sum(unpriced_count)::bigint as unpriced_count
from callfare.hourly_cost
where hour = any(%(hours)s) and tenant_id = any(%(tenants)s)
group by tenant_id, hour
order by tenant_id, hour;

-- silent_services --
-- Services that were sending for an hour and have been silent for longer than a time, and than twice as long as ever.
select tenant_id, service_name, first_seen_at, last_seen_at
from callfare.service_seen
where greatest(last_seen_at, %(listening_since)s) < %(now)s - greatest(%(silence)s::interval, 2 * longest_gap)
  and last_seen_at > %(now)s - interval '7 days' - %(silence)s::interval
  and last_seen_at - first_seen_at >= interval '1 hour'
order by tenant_id, service_name
limit 1000;

-- forget_services --
-- Services that nobody misses any more.
delete from callfare.service_seen where last_seen_at < %(now)s - interval '30 days';

-- forget_alerts --
-- Alerts of long ago, with their deliveries.
delete from callfare.alert where alert_id in (
  select alert_id from callfare.alert where made_at < %(now)s - interval '400 days' limit 10000);

-- claim_delivery --
-- What a receiver has to get next; nobody else sends it for a minute.
with due as (
  select alert_id, receiver from callfare.alert_delivery
  where receiver = %(receiver)s and state = 'waiting' and next_at <= now()
  order by next_at, alert_id
  limit 1
  for update skip locked
)
update callfare.alert_delivery as delivery set attempts = attempts + 1, next_at = now() + interval '1 minute'
from due, callfare.alert
where delivery.alert_id = due.alert_id and delivery.receiver = due.receiver and alert.alert_id = due.alert_id
returning alert.alert_id, alert.kind, alert.tenant_id, alert.scope, alert.window_start, alert.threshold, alert.facts,
  alert.made_at, delivery.attempts;

-- end_delivery --
-- It was delivered.
update callfare.alert_delivery set state = 'delivered', ended_at = now(), last_error = null
where alert_id = %(alert_id)s and receiver = %(receiver)s and state = 'waiting';

-- put_off_delivery --
-- It failed, and is tried again later.
update callfare.alert_delivery set next_at = now() + %(wait)s::interval, last_error = %(error)s
where alert_id = %(alert_id)s and receiver = %(receiver)s and state = 'waiting';

-- put_off_receiver --
-- The receiver wants to be left alone for a time: what else it has to get waits too.
update callfare.alert_delivery set next_at = greatest(next_at, now() + %(wait)s::interval)
where receiver = %(receiver)s and state = 'waiting';

-- give_up_old_deliveries --
-- What could not be delivered for a day.
update callfare.alert_delivery set state = 'given_up', ended_at = now(),
  last_error = coalesce(last_error, 'no service had this receiver in its configuration')
where state = 'waiting' and made_at < now() - %(age)s::interval
returning receiver, coalesce(last_error, '') as last_error;

-- waiting_deliveries --
-- How many deliveries wait for a receiver that failed before.
select count(*) from callfare.alert_delivery where state = 'waiting' and attempts > 0;
