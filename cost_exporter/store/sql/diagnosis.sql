-- Statements of `cli/diagnosis.py` (`callfare doctor`).

-- producers_with_gaps --
-- How many producers lost spans, and how many spans; what was sent a moment ago may still be on its way.
select count(*), sum(missing_count) from callfare.producer_gap where last_seen_at < now() - interval '10 minutes';

-- recent_unread --
-- How many recent records have usage that was not understood.
select count(*) from callfare.cost_record where started_at > now() - interval '7 days'
  and (issues::text like '%"unread_usage: %' or issues::text like '%"looks_like_a_call: %');

-- outbox_backlog --
-- Spans that wait to be forwarded for more than a minute, for how long, and how many were ever dropped.
select
  sum(span_count), extract(epoch from now() - min(waiting_since))::bigint,
  (select span_count from callfare.outbox_given_up)
from callfare.outbox where waiting_since < now() - interval '1 minute';

-- posthog_state --
-- How many events wait, for how long, and how many were ever dropped.
select
  (select count(*) from callfare.posthog_call) as waiting_count,
  (select coalesce(extract(epoch from now() - min(waiting_since)), 0)::bigint from callfare.posthog_call) as waiting_seconds,
  coalesce((select dropped_count from callfare.posthog_place), 0) as dropped_count;
