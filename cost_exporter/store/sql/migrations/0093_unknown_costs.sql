-- What has no cost is few and looked at often: found by an index of its own, in order of time.

create index record_unknown on callfare.record (started_at) where status in ('unpriced', 'partial', 'no_usage', 'invalid');
