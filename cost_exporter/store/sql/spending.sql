-- Statements of `store/spending.py`: `spend`, and the sources that it reads from.

-- spend --
-- Spend by groups, from one of the sources below; what nothing is known of has no cost.
select {columns} trim_scale(callfare.known_cost(sum(cost_usd), sum(unpriced_count), sum(request_count))) as cost_usd,
  sum(unpriced_count) as unpriced_count, sum(request_count) as request_count, sum(total_tokens) as total_tokens,
  trim_scale(sum(audio_seconds)) as audio_seconds, trim_scale(sum(call_seconds)) as call_seconds,
  sum(characters) as characters
from ({source}) as each
{grouping}
having sum(request_count) <> 0
{order};

-- spend_in_days --
-- The sums of whole days.
select *, date_trunc('week', day::timestamp)::date as week, to_char(day, 'YYYY-MM') as month,
  input_tokens + output_tokens as total_tokens
from callfare.daily_rollup
where day >= (%(since)s at time zone 'UTC')::date and day < (%(until)s at time zone 'UTC')::date
  and (%(tenant)s::text is null or tenant_id = %(tenant)s);

-- spend_in_hours --
-- The sums of whole hours.
select *, date_trunc('week', day::timestamp)::date as week, to_char(day, 'YYYY-MM') as month
from callfare.hourly_rollup cross join lateral (select (hour at time zone 'UTC')::date) as dated (day)
where hour >= %(since)s and hour < %(until)s and (%(tenant)s::text is null or tenant_id = %(tenant)s);

-- spend_of_kind --
-- What each of a kind spent in whole hours, days or months.
select *, value as {name}, starts_at as hour, date_trunc('week', day::timestamp)::date as week,
  to_char(day, 'YYYY-MM') as month
from callfare.spend_rollup cross join lateral (select (starts_at at time zone 'UTC')::date) as dated (day)
where kind = {kind} and grain = {grain} and starts_at >= {since} and starts_at < {until}
  and (%(tenant)s::text is null or tenant_id = %(tenant)s);

-- spend_with_the_rest --
-- What each of a kind spent that not every call names, and what the calls that name none did.
with named as materialized (
  select {columns} {name},
    sum(cost_usd) as cost_usd, sum(request_count) as request_count, sum(unpriced_count) as unpriced_count,
    sum(total_tokens) as total_tokens, sum(characters) as characters, sum(audio_seconds) as audio_seconds,
    sum(call_seconds) as call_seconds
  from ({named}) as each
  group by {columns} {name}
)
select * from named
union all
select {columns} null, -cost_usd, -request_count, -unpriced_count, -total_tokens, -characters, -audio_seconds, -call_seconds
from named
union all
select {columns} null, cost_usd, request_count, unpriced_count, total_tokens, characters, audio_seconds, call_seconds
from ({all}) as each;

-- spend_of_records --
-- The records, for what no rollup answers.
select *, input_tokens + output_tokens as total_tokens, date_trunc('hour', started_at, 'UTC') as hour,
  date_trunc('week', day::timestamp)::date as week, to_char(day, 'YYYY-MM') as month
from callfare.record_measure
where started_at >= %(since)s and started_at < %(until)s and request_count > 0
  and (%(tenant)s::text is null or tenant_id = %(tenant)s);

-- spend_of_api_key --
-- What one API key cost, of a source that has each call's.
select * from ({source}) as each where api_key_id = %(api_key)s;
