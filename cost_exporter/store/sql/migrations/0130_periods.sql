-- Closed periods: what a month cost is fixed when it is closed, and changes afterwards only by corrections.
--
-- A writer holds the lock of the periods shared, and the one who closes or reopens one holds it alone: so a change of a
-- record is either in the sums of the closing or a correction of it, and never both.

-- Tenant `*` is each tenant that has no closing of its own in force.
create table callfare.closing (
  closing_id  bigint generated always as identity primary key,
  month       date not null check (extract(day from month) = 1),
  tenant_id   text not null check (tenant_id <> ''),
  closed_at   timestamptz not null default clock_timestamp(),
  reopened_at timestamptz check (reopened_at >= closed_at)
);
create unique index closing_in_force on callfare.closing (month, tenant_id) where reopened_at is null;

create trigger audit after insert or update or delete on callfare.closing
for each row execute function callfare.audit_change('period', 'month', '{}');
create trigger audit_emptied after truncate on callfare.closing
for each statement execute function callfare.audit_change('period', 'month', '{}');

-- What the month had cost each tenant when it was closed.
create table callfare.closing_sum (
  closing_id     bigint not null references callfare.closing,
  tenant_id      text not null check (tenant_id <> ''),
  cost_usd       numeric not null check (cost_usd >= 0 and cost_usd < 'Infinity'),
  unpriced_count bigint not null check (unpriced_count >= 0),
  primary key (closing_id, tenant_id)
);

-- One side of a posting of the journal that lies in a closed period: the old one is taken back, the new one billed.
create table callfare.correction (
  posting_id     bigint not null references callfare.journal,
  is_reversal    boolean not null,
  closing_id     bigint not null references callfare.closing,
  tenant_id      text not null check (tenant_id <> ''),
  billed_month   date not null check (extract(day from billed_month) = 1),
  cost_usd       numeric check (cost_usd < 'Infinity'),
  unpriced_count bigint not null,
  quote          jsonb not null,
  primary key (posting_id, is_reversal)
);
create index correction_by_closing on callfare.correction (closing_id, posting_id);
create index correction_by_month on callfare.correction (billed_month);
comment on column callfare.correction.tenant_id is 'who paid for this side; a posting names only who pays now';

-- What is closed now, for a writer. Each statement of a volatile function sees what was committed before it, so the
-- second one sees the closing that the first one waited for.
create function callfare.closings_for_writing(lock_number bigint)
returns table (closing_id bigint, tenant_id text, month date)
language plpgsql volatile as $$
begin
  perform pg_advisory_xact_lock_shared(lock_number);
  return query
  select closing.closing_id, closing.tenant_id, closing.month from callfare.closing where closing.reopened_at is null;
end
$$;

-- Kind `closed` is a change in a closed period of a record whose workflow was not final: who takes over only what is
-- final has not had it before.
alter table callfare.journal drop constraint journal_kind_check;
alter table callfare.journal add constraint journal_kind_check
  check (kind in ('record', 'workflow', 'content', 'closed')) not valid;
alter table callfare.journal drop constraint journal_kind_columns_check;
alter table callfare.journal add constraint journal_kind_columns_check check (case
  when kind in ('record', 'closed') then span_id is not null and (finalised_at is not null) = (kind = 'record')
    and coalesce(new_status, old_status) is not null and tenant_id = coalesce(new_tenant_id, old_tenant_id)
  when kind = 'workflow' then finalised_at is not null and span_count is not null and old_cost_usd is not null
    and new_cost_usd is not null and old_unpriced_count is not null and new_unpriced_count is not null
  else span_id is not null and content_hash is not null and content is not null end) not valid;

-- One row a tenant of a closed period: what it cost when it was closed, and what corrections have added since.
create view callfare.closed_period with (security_invoker = true) as
select
  part.closing_id, to_char(closing.month, 'YYYY-MM') as month, part.tenant_id, closing.closed_at, closing.reopened_at,
  trim_scale(coalesce(known.cost_usd, 0)) as closed_cost_usd,
  coalesce(known.unpriced_count, 0) as closed_unpriced_count,
  added.correction_count, trim_scale(added.cost_usd) as correction_usd,
  trim_scale(coalesce(known.cost_usd, 0) + added.cost_usd) as cost_usd,
  coalesce(known.unpriced_count, 0) + added.unpriced_count as unpriced_count
from (
  select closing_id, tenant_id from callfare.closing_sum
  union
  select closing_id, tenant_id from callfare.correction
) as part
join callfare.closing on closing.closing_id = part.closing_id
left join callfare.closing_sum as known on known.closing_id = part.closing_id and known.tenant_id = part.tenant_id
cross join lateral (
  select
    coalesce(sum(correction.cost_usd), 0) as cost_usd,
    coalesce(sum(correction.unpriced_count), 0)::bigint as unpriced_count,
    count(distinct posting_id) as correction_count
  from callfare.correction
  where correction.closing_id = part.closing_id and correction.tenant_id = part.tenant_id
) as added;

-- Closed and corrected, a period has what its days have, for each tenant that either of them knows.
create view callfare.closing_check with (security_invoker = true) as
select
  'closed_period' as problem, part.tenant_id,
  jsonb_build_object('month', to_char(closing.month, 'YYYY-MM'), 'closing_id', closing.closing_id) as key,
  jsonb_build_object('cost_usd', callfare.money_text(ledger.cost_usd), 'unpriced_count', ledger.unpriced_count) as expected,
  jsonb_build_object('cost_usd', callfare.money_text(coalesce(period.cost_usd, 0)),
    'unpriced_count', coalesce(period.unpriced_count, 0)) as found
from callfare.closing
cross join lateral (
  select tenant_id from callfare.closed_period where closed_period.closing_id = closing.closing_id
  union
  select tenant_id from callfare.daily_rollup
  where day >= closing.month and day < closing.month + interval '1 month' and case
    when closing.tenant_id <> '*' then daily_rollup.tenant_id = closing.tenant_id
    else not exists (
      select from callfare.closing as own
      where own.month = closing.month and own.tenant_id = daily_rollup.tenant_id and own.reopened_at is null) end
) as part
left join callfare.closed_period as period on period.closing_id = closing.closing_id and period.tenant_id = part.tenant_id
cross join lateral (
  select coalesce(sum(day.cost_usd), 0) as cost_usd, coalesce(sum(day.unpriced_count), 0)::bigint as unpriced_count
  from callfare.daily_rollup as day
  where day.tenant_id = part.tenant_id and day.day >= closing.month and day.day < closing.month + interval '1 month'
) as ledger
where closing.reopened_at is null
  and (ledger.cost_usd <> coalesce(period.cost_usd, 0) or ledger.unpriced_count <> coalesce(period.unpriced_count, 0));

create or replace view callfare.integrity_check as
select problem, tenant_id, key, expected, found from callfare.record_check
union all
select problem, tenant_id, key, expected, found from callfare.workflow_total_check
union all
select problem, tenant_id, key, expected, found from callfare.hours_check
union all
select problem, tenant_id, key, expected, found from callfare.long_trace_check
union all
select problem, tenant_id, key, expected, found from callfare.closing_check;
alter view callfare.integrity_check set (security_invoker = true);
