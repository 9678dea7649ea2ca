-- Statements of `store/keeping.py`: what keeps the records of a month from being dropped.

-- open_of_month --
-- How many workflows of a month are not final.
select count(*) from callfare.trace where bucket = %(bucket)s and finalised_at is null and record_count > 0;

-- unexported_of_month --
-- How many workflows of a month became final, or were corrected, where an export has not come to yet.
select count(distinct (trace_id, namespace))
from (
  select trace_id, namespace from callfare.trace
  where bucket = %(bucket)s and final_transaction_id >= %(until)s::text::xid8 and record_count > 0
  union all
  select trace_id, namespace
  from callfare.journal join callfare.trace using (trace_id, namespace)
  where journal.kind = 'record' and journal.transaction_id >= %(until)s::text::xid8 and trace.bucket = %(bucket)s
) as waiting;

-- unclosed_of_month --
-- The months, and in each the tenants, of records of a month of receipt that are not closed.
select month, array_agg(tenant_id order by tenant_id) as tenants
from (
  select distinct tenant_id, date_trunc('month', started_at at time zone 'UTC')::date as month
  from callfare.record where bucket = %(bucket)s
) as part
where not exists (
  select from callfare.closing
  where closing.month = part.month and closing.tenant_id in (part.tenant_id, '*') and closing.reopened_at is null)
group by month
order by month;

-- too_old_count --
-- How many spans came in a time whose records had been dropped: nobody is billed for them.
select count(*) as too_old_count
from callfare.dead_letter
where reason = 'too_old' and received_at >= %(since)s and received_at < coalesce(%(until)s::timestamptz, 'infinity');
