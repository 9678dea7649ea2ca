-- One row holds many spans: the finished ExportTraceServiceRequest of those that were committed together and share
-- resource and scope. So a sender only joins rows, and neither writing nor sending costs a row a span.

-- What waits now is put into that form: protobuf's length-delimited field is (number << 3 | 2), length, payload.
create function pg_temp.length_of(payload bytea) returns bytea language sql immutable as $$
    select case
        when n < 1 << 7 then set_byte('\x00', 0, n)
        when n < 1 << 14 then set_byte(set_byte('\x0000', 0, n & 127 | 128), 1, n >> 7)
        when n < 1 << 21 then
            set_byte(set_byte(set_byte('\x000000', 0, n & 127 | 128), 1, n >> 7 & 127 | 128), 2, n >> 14)
        else set_byte(set_byte(set_byte(set_byte('\x00000000', 0, n & 127 | 128), 1, n >> 7 & 127 | 128),
            2, n >> 14 & 127 | 128), 3, n >> 21)
    end
    from (select length(payload)) as size (n)
$$;
create function pg_temp.field(number integer, payload bytea) returns bytea language sql immutable as $$
    select set_byte('\x00', 0, number << 3 | 2) || pg_temp.length_of(payload) || payload
$$;

alter table callfare.outbox
    add column span_count integer not null default 1 check (span_count > 0),
    add column request bytea;
update callfare.outbox set request = pg_temp.field(
    1, pg_temp.field(1, resource) || pg_temp.field(2, pg_temp.field(1, scope) || pg_temp.field(2, span))
);
alter table callfare.outbox
    alter column span_count drop default,
    alter column request set not null,
    -- Written once and read once, soon: compressing it would cost more than it saves.
    alter column request set storage external,
    drop column resource,
    drop column scope,
    drop column span;
