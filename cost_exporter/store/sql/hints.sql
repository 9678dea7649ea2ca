-- Statements of `store/hints.py`: calls that may have cost more than they had to.

-- calls_without_cache --
-- Long prompts of which nothing was read from a cache, though the same model had one of the same workflow within the
-- hour before: what their uncached input cost, by the price that was paid for it.
with long_prompt as (
  select
    record.tenant_id, trace.workflow_name, provider, model, operation, service_tier, mode, api_key_id, record.started_at,
    coalesce((usage ->> 'cache_read_tokens')::numeric, 0) as cache_read_tokens, callfare.spelled_lines(lines) as lines,
    lag(record.started_at) over (
      partition by record.tenant_id, trace.workflow_name, provider, model
      order by record.started_at, record.trace_id, span_id) as previous_at
  from callfare.record join callfare.trace using (trace_id, namespace)
  where operation in ('chat', 'generate_content', 'text_completion') and status <> 'duplicate'
    and (usage ->> 'input_tokens')::numeric >= %(input_tokens_min)s and trace.workflow_name is not null
    and record.started_at >= %(since)s and record.started_at < %(until)s
    and (%(tenant)s::text is null or record.tenant_id = %(tenant)s)
)
select
  tenant_id, workflow_name, provider, model, operation, service_tier, mode, api_key_id,
  (line ->> 3)::numeric as unit_price_usd, (line ->> 4)::numeric as per,
  count(*) filter (where line is not null) as request_count, count(*) filter (where line is null) as unpriced_count,
  coalesce(sum(coalesce(line ->> 2, line ->> 1)::numeric), 0) as token_count, max(started_at) as last_started_at
from long_prompt
left join lateral (
  select each as line from jsonb_array_elements(lines) as each
  where each ->> 0 = 'input_tokens' and each ->> 5 is not null limit 1
) as input on true
where cache_read_tokens = 0 and previous_at > started_at - %(cache_lives)s::interval
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;

-- plain_answers --
-- What answers of language models cost that have a price for input and output and nothing else, by model and by the
-- two prices; those to small prompts apart.
with answer as (
  select
    tenant_id, provider, model, input.line as input, output.line as output,
    (usage ->> 'input_tokens')::numeric <= %(input_tokens_max)s
      and (usage ->> 'output_tokens')::numeric <= %(output_tokens_max)s as is_small
  from callfare.record
  cross join lateral (select callfare.spelled_lines(record.lines) as spelled) as priced
  join lateral (select each as line from jsonb_array_elements(spelled) as each where each ->> 0 = 'input_tokens') as input on true
  join lateral (select each as line from jsonb_array_elements(spelled) as each where each ->> 0 = 'output_tokens') as output on true
  where operation in ('chat', 'generate_content', 'text_completion') and status in ('priced', 'estimated')
    and started_at >= %(since)s and started_at < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s)
    and jsonb_array_length(spelled) = 2
)
select
  tenant_id, provider, model, is_small,
  (input ->> 3)::numeric as input_price_usd, (input ->> 4)::numeric as input_per,
  (output ->> 3)::numeric as output_price_usd, (output ->> 4)::numeric as output_per,
  count(*) as request_count, sum((input ->> 1)::numeric) as input_tokens, sum((output ->> 1)::numeric) as output_tokens,
  sum((input ->> 5)::numeric + (output ->> 5)::numeric) as cost_usd
from answer
where input ->> 5 is not null and output ->> 5 is not null
group by 1, 2, 3, 4, 5, 6, 7, 8
order by 1, 2, 3, 4, 5, 6, 7, 8;

-- interrupted_speech --
-- Speech that the caller interrupted, by model: it is billed for all of the text that was sent.
select
  record.tenant_id, trace.workflow_name, provider, model, count(*) as request_count,
  count(*) filter (where cost_usd is null or status = 'partial') as unpriced_count,
  coalesce(sum(cost_usd), 0) as cost_usd
from callfare.record join callfare.trace using (trace_id, namespace)
where operation = 'text_to_speech' and status <> 'duplicate' and issues ? 'interrupted'
  and record.started_at >= %(since)s and record.started_at < %(until)s
  and (%(tenant)s::text is null or record.tenant_id = %(tenant)s)
group by 1, 2, 3, 4
order by 1, 2, 3, 4;

-- paid_retries --
-- Calls that failed, were billed all the same, and were made again: the same input, in the same trace, soon after.
select
  failed.tenant_id, trace.workflow_name, failed.provider, failed.model, count(*) as request_count,
  count(*) filter (where failed.cost_usd is null or failed.status = 'partial') as unpriced_count,
  coalesce(sum(failed.cost_usd), 0) as cost_usd
from callfare.record as failed
join callfare.trace on trace.trace_id = failed.trace_id and trace.namespace = failed.namespace
cross join lateral (
  select
    coalesce(failed.usage ->> 'input_tokens', failed.usage ->> 'characters', failed.usage ->> 'audio_seconds') as input,
    failed.started_at + failed.duration_ns / 1000 * interval '1 microsecond' as ended_at
) as of_failed
where failed.error_type is not null and failed.status <> 'duplicate' and coalesce(failed.cost_usd, 1) > 0
  and failed.started_at >= %(since)s and failed.started_at < %(until)s
  and (%(tenant)s::text is null or failed.tenant_id = %(tenant)s)
  and exists (
    select from callfare.record as again
    where again.trace_id = failed.trace_id and again.namespace = failed.namespace and again.bucket = failed.bucket
      and again.tenant_id = failed.tenant_id and again.operation = failed.operation
      and again.provider = failed.provider and again.model = failed.model and again.status <> 'duplicate'
      and coalesce(again.usage ->> 'input_tokens', again.usage ->> 'characters', again.usage ->> 'audio_seconds')
        = of_failed.input
      and again.started_at >= of_failed.ended_at and again.started_at < of_failed.ended_at + %(retry_within)s::interval)
group by 1, 2, 3, 4
order by 1, 2, 3, 4;
