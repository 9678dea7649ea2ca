-- Calls whose events wait for PostHog: those of workflows that became final, and those that changed afterwards. Only
-- while it is configured.

-- A call may wait twice: its event says what the call is when it is sent, under the same id.
create table callfare.posthog_call (
  call_id       bigint generated always as identity primary key,
  namespace     text not null,
  trace_id      uuid not null,
  span_id       bigint not null,
  waiting_since timestamptz not null default now()
);
create index posthog_call_by_age on callfare.posthog_call (waiting_since);

-- Up to where the journal was read for it. A place that nobody read for days is of an earlier configuration.
create table callfare.posthog_place (
  is_only_row    boolean primary key default true check (is_only_row),
  transaction_id xid8 not null,
  posting_id     bigint not null check (posting_id >= 0),
  read_at        timestamptz not null default now(),
  dropped_count  bigint not null default 0 check (dropped_count >= 0)
);

create or replace view callfare.usage_stats with (security_invoker = true) as
select
  tenant_id, trace_id,
  (select coalesce(jsonb_object_agg(category || '_cost_usd', cost), '{}') from jsonb_each_text(by_category) as each (category, cost))
  || jsonb_build_object(
    'total_cost_usd', callfare.money_text(total_cost_usd), 'total_tokens', total_tokens, 'llm_calls', llm_calls,
    'models_used', (
      select coalesce(jsonb_agg(distinct model order by model), '[]') from callfare.record
      where record.trace_id = workflow_cost.trace_id and record.namespace = workflow_cost.namespace
        and record.tenant_id = workflow_cost.tenant_id and record.status <> 'duplicate' and record.model <> ''
    ),
    'unpriced_count', unpriced_count,
    'posthog_trace_id', replace(trace_id::text, '-', '')
  ) as usage_stats
from callfare.workflow_cost;
