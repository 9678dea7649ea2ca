-- Statements of `store/outbox.py`: spans that wait to be forwarded.

-- insert_parcels --
-- Finished requests, in the transaction that stores their spans.
insert into callfare.outbox (span_count, request)
select * from unnest(%(span_count)b::integer[], %(request)b::bytea[]);

-- claim_parcels --
-- The oldest parcels that nobody else holds, up to a number of rows and bytes.
with held as materialized (
  select id, span_count, request from callfare.outbox order by id limit %(rows)s for update skip locked
), measured as (
  select *, sum(octet_length(request)) over (order by id) - octet_length(request) as bytes_before,
    count(*) over () as held_count
  from held
)
select id, span_count, request, held_count from measured where bytes_before < %(bytes)s order by id;

-- delete_parcels --
-- They were taken, or refused permanently.
delete from callfare.outbox where id = any(%(ids)s);

-- count_given_up --
-- Spans that were refused permanently.
update callfare.outbox_given_up set span_count = span_count + %(count)s;

-- give_up_old --
-- Drop and count what waited too long, except what a sender holds.
with old as (
  select id from callfare.outbox where waiting_since < now() - %(age)s for update skip locked
), gone as (
  delete from callfare.outbox using old where outbox.id = old.id returning span_count
), counted as (
  select coalesce(sum(span_count), 0) as span_count from gone
)
update callfare.outbox_given_up set span_count = outbox_given_up.span_count + counted.span_count from counted
returning counted.span_count;

-- outbox_state --
-- How many spans wait, and how many were ever dropped.
select (select coalesce(sum(span_count), 0) from callfare.outbox), span_count from callfare.outbox_given_up;
