-- Who made billable spans, and how many of them arrived. A producer numbers its spans from 1 without holes, so what
-- is missing below the highest number never arrived, or is still on its way.

create table callfare.producer (
    namespace text not null check (namespace <> ''),
    producer_id text not null check (producer_id <> ''),
    highest_sequence bigint not null check (highest_sequence > 0),
    seen_count bigint not null check (seen_count > 0),
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    primary key (namespace, producer_id)
);

create view callfare.producer_gap as
select namespace, producer_id, highest_sequence - seen_count as missing_count, first_seen_at, last_seen_at
from callfare.producer
where highest_sequence > seen_count;
comment on view callfare.producer_gap is 'spans that never arrived; those of a producer seen a moment ago may still come';
