-- Statements of `store/reading.py`: they read the public tables and views (schema `callfare`), for the CLI, the API and
-- the page, and use no table that the contract does not name.

-- workflow --
-- One workflow, in each tenant that has it.
select * from callfare.workflow_cost
where trace_id = %(trace_id)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
order by tenant_id;

-- records --
-- The records of one workflow, the ones that are billed and the duplicates.
select * from callfare.cost_record
where trace_id = %(trace_id)s and tenant_id = %(tenant)s
order by started_at, span_id;

-- voice_call --
-- How a call went and what a minute of it cost, in one tenant; no row for a workflow that is no call.
select * from callfare.voice_call where trace_id = %(trace_id)s and tenant_id = %(tenant)s;

-- usage_stats --
-- The usage statistics of one workflow, in each tenant that has it.
select tenant_id, usage_stats from callfare.usage_stats
where trace_id = %(trace_id)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
order by tenant_id;

-- top_by_cost --
-- The workflows of a period that cost most; a row of zeros is shown where the view shows it.
select workflow_cost.*
from (
  select trace_id, namespace, tenant_id
  from callfare.workflow_total as total
  where started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and (total.request_count > 0 or total.duplicate_count > 0 or exists (
      select from callfare.trace
      where trace.trace_id = total.trace_id and trace.namespace = total.namespace and trace.tenant_id = total.tenant_id
        and (coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null)))
  order by cost_usd desc, started_at desc, trace_id, tenant_id, namespace
  limit %(count)s
) as chosen join callfare.workflow_cost using (trace_id, namespace, tenant_id)
order by total_cost_usd desc, started_at desc, trace_id, tenant_id, namespace;

-- top_by_duration --
-- The workflows of a period that took longest.
select workflow_cost.*
from (
  select trace_id, namespace, tenant_id
  from callfare.workflow_total as total
  where started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and (total.request_count > 0 or total.duplicate_count > 0 or exists (
      select from callfare.trace
      where trace.trace_id = total.trace_id and trace.namespace = total.namespace and trace.tenant_id = total.tenant_id
        and (coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null)))
  order by coalesce(ended_at - started_at, interval '0') desc, cost_usd desc, started_at desc, trace_id, tenant_id, namespace
  limit %(count)s
) as chosen join callfare.workflow_cost using (trace_id, namespace, tenant_id)
order by coalesce(ended_at - started_at, interval '0') desc, total_cost_usd desc, started_at desc, trace_id, tenant_id, namespace;

-- top_by_unpriced --
-- The workflows of a period with most unpriced calls.
select workflow_cost.*
from (
  select trace_id, namespace, tenant_id
  from callfare.workflow_total as total
  where started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and unpriced_count > 0
    and (total.request_count > 0 or total.duplicate_count > 0 or exists (
      select from callfare.trace
      where trace.trace_id = total.trace_id and trace.namespace = total.namespace and trace.tenant_id = total.tenant_id
        and (coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null)))
  order by unpriced_count desc, cost_usd desc, started_at desc, trace_id, tenant_id, namespace
  limit %(count)s
) as chosen join callfare.workflow_cost using (trace_id, namespace, tenant_id)
order by unpriced_count desc, total_cost_usd desc, started_at desc, trace_id, tenant_id, namespace;

-- latest_workflows --
-- The workflows that started last, from some time on.
select workflow_cost.*
from (
  select trace_id, namespace, tenant_id
  from callfare.workflow_total as total
  where started_at >= %(since)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and (total.request_count > 0 or total.duplicate_count > 0 or exists (
      select from callfare.trace
      where trace.trace_id = total.trace_id and trace.namespace = total.namespace and trace.tenant_id = total.tenant_id
        and (coalesce(trace.workflow_id, trace.workflow_name) is not null or trace.revenue_usd is not null)))
  order by started_at desc, trace_id, tenant_id, namespace
  limit %(count)s
) as chosen join callfare.workflow_cost using (trace_id, namespace, tenant_id)
order by started_at desc, trace_id, tenant_id, namespace;

-- unpriced_by_leg --
-- How many calls of unknown or partly known cost some workflows have, by leg.
select trace_id, tenant_id, leg, sum(unpriced_count) as unpriced_count from callfare.workflow_rollup
where trace_id = any(%(trace_ids)s) and unpriced_count > 0
group by trace_id, tenant_id, leg;

-- cost_totals --
-- What was ever spent, by the labels of the metrics.
select tenant_id, category, operation, provider, model, sum(cost_usd) as cost_usd,
  sum(request_count) as request_count, sum(unpriced_count) as unpriced_count
from callfare.daily_cost
group by tenant_id, category, operation, provider, model
order by sum(cost_usd) desc nulls last;

-- mismatches --
-- Rollup keys that differ from their records, records that differ from their lines.
select * from callfare.integrity_check;

-- missing_spans --
-- How many numbered spans never arrived; what was sent a moment ago may still be on its way.
select coalesce(sum(missing_count), 0) as missing_count from callfare.producer_gap
where last_seen_at < now() - interval '10 minutes';

-- unread --
-- Usage, and spans that look like calls, that were not understood, by scope and attribute, of one period.
select scope, split_part(issue, ': ', 1) as kind, split_part(split_part(issue, ': ', 2), ' = ', 1) as attributes,
  count(*) as record_count, max(started_at) as last_seen_at
from callfare.cost_record, jsonb_array_elements_text(issues) as each (issue)
where started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
  and issues <> '[]' and (issue like 'unread_usage: %%' or issue like 'looks_like_a_call: %%')
group by 1, 2, 3
order by record_count desc, scope, kind, attributes
limit %(count)s;

-- dead_letters --
-- The newest dead letters, without what they hold.
select dead_letter_id, received_at, namespace, reason, detail, trace_id, span_id, attempts, replayed_at, replay_error
from callfare.dead_letter
order by dead_letter_id desc
limit %(count)s;

-- alive --
-- One row, if the database answers.
select 1 as alive;

-- budgets --
-- Every budget in the window that runs, or those of a tenant or of a name.
select * from callfare.budget_status
where (%(tenant)s::text is null or tenant_id = %(tenant)s) and (%(name)s::text is null or name = %(name)s)
order by name, tenant_id;

-- latest_alerts --
-- The last alerts, with what became of their deliveries.
select
  alert.alert_id::text as alert_id, alert.kind, alert.tenant_id, alert.scope, alert.window_start, alert.threshold,
  alert.facts, alert.made_at,
  coalesce((
    select jsonb_agg(jsonb_build_object(
      'receiver', receiver, 'state', state, 'attempts', attempts, 'last_error', last_error) order by receiver)
    from callfare.alert_delivery as delivery where delivery.alert_id = alert.alert_id), '[]') as deliveries
from callfare.alert
where %(tenant)s::text is null or alert.tenant_id = %(tenant)s
order by alert.made_at desc, alert.alert_id
limit %(count)s;
