-- A call that goes on, a socket or a telephone call, extends what it holds, and its cost arrives in parts: like a lease,
-- its reservation holds what it was granted less what has arrived.
alter table callfare.reservation drop constraint reservation_kind_check;
alter table callfare.reservation add constraint reservation_kind_check check (kind in ('call', 'lease', 'session'));
