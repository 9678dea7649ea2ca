-- Spans waiting to be forwarded with their cost. Written in the transaction that stores the record, and only when
-- the record is new: so exactly one version of a span leaves. Deleted once the backend has taken them.

create table callfare.outbox (
    id bigint generated always as identity primary key,
    waiting_since timestamptz not null default now(),
    resource bytea not null,
    scope bytea not null,
    span bytea not null
);

-- One row: how many spans were dropped because they waited too long or were refused for good.
create table callfare.outbox_given_up (
    is_only_row boolean primary key default true check (is_only_row),
    span_count bigint not null default 0 check (span_count >= 0)
);
insert into callfare.outbox_given_up default values;
