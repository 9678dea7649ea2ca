-- Statements of `store/periods.py`: closing a month, and opening it again.

-- state_of_period --
-- Whether a month is over, and which closing of it is in force: the tenant's own, or that of every tenant.
select
  (clock_timestamp() at time zone 'UTC') >= %(month)s::date + interval '1 month' as is_over,
  (select closing_id from callfare.closing
   where month = %(month)s and tenant_id = %(tenant)s and reopened_at is null) as own_closing_id,
  (select closing_id from callfare.closing
   where month = %(month)s and tenant_id = '*' and reopened_at is null) as common_closing_id;

-- insert_closing --
-- Close a month for a tenant, or for every tenant that has no closing of its own.
insert into callfare.closing (month, tenant_id) values (%(month)s, %(tenant)s) returning closing_id;

-- insert_closing_sums --
-- Keep what the month has cost each tenant up to now.
insert into callfare.closing_sum (closing_id, tenant_id, cost_usd, unpriced_count)
select %(closing_id)s, tenant_id, sum(cost_usd), sum(unpriced_count)
from callfare.daily_rollup
where day >= %(month)s::date and day < %(month)s::date + interval '1 month' and case
  when %(tenant)s::text <> '*' then tenant_id = %(tenant)s
  else not exists (
    select from callfare.closing as own
    where own.month = %(month)s and own.tenant_id = daily_rollup.tenant_id and own.reopened_at is null) end
group by tenant_id
having sum(request_count) <> 0;

-- count_open_workflows --
-- Workflows of a month that are not final: what they still change becomes a correction.
select count(*) as open_count
from callfare.workflow_total as total
join callfare.trace using (trace_id, namespace)
where trace.finalised_at is null and total.started_at >= %(month)s::date::timestamp at time zone 'UTC'
  and total.started_at < (%(month)s::date + interval '1 month') at time zone 'UTC'
  and (%(tenant)s::text = '*' or total.tenant_id = %(tenant)s);

-- months_with_corrections --
-- Closed months in which corrections of a closing were billed: with those they are as final as it.
select distinct to_char(correction.billed_month, 'YYYY-MM') as month
from callfare.correction
join callfare.closing as later on later.month = correction.billed_month and later.reopened_at is null
  and later.tenant_id in ('*', correction.tenant_id)
where correction.closing_id = %(closing_id)s
order by 1;

-- reopen_closing --
-- What was corrected under this closing is no correction any more: the month has it itself again.
update callfare.closing set reopened_at = clock_timestamp() where closing_id = %(closing_id)s;

-- periods --
-- Every closing, the newest month first, with the figures of each tenant; one without any calls has none.
select
  closing.closing_id, to_char(closing.month, 'YYYY-MM') as month, closing.tenant_id as closed_for,
  period.tenant_id, closing.closed_at, closing.reopened_at, period.closed_cost_usd, period.closed_unpriced_count,
  period.correction_count, period.correction_usd, period.cost_usd, period.unpriced_count
from callfare.closing left join callfare.closed_period as period using (closing_id)
where %(tenant)s::text is null or period.tenant_id = %(tenant)s
  or (period.tenant_id is null and closing.tenant_id in ('*', %(tenant)s))
order by closing.month desc, closing.closing_id desc, period.tenant_id;
