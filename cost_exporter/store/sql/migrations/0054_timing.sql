-- How long callers waited and how conversations went, beside the records: nothing of it decides a cost.

create table callfare.timing (
  trace_id                    uuid not null,
  span_id                     bigint not null,
  namespace                   text not null,
  bucket                      date not null,
  tenant_id                   text not null check (tenant_id <> ''),
  started_at                  timestamptz not null,
  service_name                text not null,
  provider                    text not null,
  model                       text not null,
  operation                   text not null,
  time_to_first_token_seconds numeric check (time_to_first_token_seconds between 0 and 86400),
  time_to_first_audio_seconds numeric check (time_to_first_audio_seconds between 0 and 86400),
  turn_count                  bigint check (turn_count >= 0),
  interruption_count          bigint check (interruption_count >= 0),
  dead_air_seconds            numeric check (dead_air_seconds between 0 and 86400),
  primary key (trace_id, span_id, namespace)
);
create index timing_by_start on callfare.timing (started_at);
create index timing_by_bucket on callfare.timing (bucket);

-- A day of each model of each application: half of the calls, and 95 of 100, had their first token or sound by then.
create view callfare.latency with (security_invoker = true) as
select
  tenant_id, (started_at at time zone 'UTC')::date as day, service_name, provider, model, operation,
  count(*) as request_count,
  round(percentile_cont(0.5) within group (order by time_to_first_token_seconds)::numeric, 3)
    as time_to_first_token_p50_seconds,
  round(percentile_cont(0.95) within group (order by time_to_first_token_seconds)::numeric, 3)
    as time_to_first_token_p95_seconds,
  round(percentile_cont(0.5) within group (order by time_to_first_audio_seconds)::numeric, 3)
    as time_to_first_audio_p50_seconds,
  round(percentile_cont(0.95) within group (order by time_to_first_audio_seconds)::numeric, 3)
    as time_to_first_audio_p95_seconds,
  namespace
from callfare.timing
where operation <> ''
group by tenant_id, (started_at at time zone 'UTC')::date, service_name, provider, model, operation, namespace;

-- One row a workflow that speaks, listens or telephones, or that a framework says is a call.
create view callfare.voice_call with (security_invoker = true) as
select
  workflow.tenant_id, workflow.trace_id, workflow.workflow_id, workflow.workflow_name, workflow.state,
  workflow.started_at, workflow.ended_at, lasted.duration_seconds,
  workflow.total_cost_usd, workflow.unpriced_count,
  round(workflow.total_cost_usd * 60 / lasted.divisor, 12) as cost_per_minute_usd,
  (select coalesce(jsonb_object_agg(leg, callfare.money_text(trim_scale(round(cost::numeric * 60 / lasted.divisor, 12)))), '{}')
   from jsonb_each_text(workflow.by_leg) as legs (leg, cost)) as cost_per_minute_by_leg,
  went.turn_count, went.interruption_count, went.dead_air_seconds,
  went.time_to_first_token_p50_seconds, went.time_to_first_token_p95_seconds,
  went.time_to_first_audio_p50_seconds, went.time_to_first_audio_p95_seconds,
  workflow.namespace
from callfare.workflow_cost as workflow
cross join lateral (
  select
    extract(epoch from workflow.ended_at - workflow.started_at) as duration_seconds,
    nullif(extract(epoch from workflow.ended_at - workflow.started_at), 0) as divisor
) as lasted
cross join lateral (
  select
    sum(turn_count)::bigint as turn_count, sum(interruption_count)::bigint as interruption_count,
    sum(dead_air_seconds) as dead_air_seconds, count(*) as timing_count,
    round(percentile_cont(0.5) within group (order by time_to_first_token_seconds)::numeric, 3)
      as time_to_first_token_p50_seconds,
    round(percentile_cont(0.95) within group (order by time_to_first_token_seconds)::numeric, 3)
      as time_to_first_token_p95_seconds,
    round(percentile_cont(0.5) within group (order by time_to_first_audio_seconds)::numeric, 3)
      as time_to_first_audio_p50_seconds,
    round(percentile_cont(0.95) within group (order by time_to_first_audio_seconds)::numeric, 3)
      as time_to_first_audio_p95_seconds
  from callfare.timing
  where timing.trace_id = workflow.trace_id and timing.namespace = workflow.namespace
    and timing.tenant_id = workflow.tenant_id
) as went
where workflow.by_leg ?| array['tts', 'stt', 'telephony'] or went.turn_count is not null
  or went.dead_air_seconds is not null;
