-- Who changed what decides about money and access: prices, budgets, tokens, re-ratings. Written by triggers, so that a
-- change by hand is in it as well and no program can forget it.

create table callfare.audit (
    audit_id bigint generated always as identity primary key,
    happened_at timestamptz not null default clock_timestamp(),
    database_user text not null,
    program text not null,
    action text not null,
    subject text not null,
    details jsonb not null
);

-- Arguments: what is changed, the column that names it, and the columns that are left out: secrets, and what a
-- service writes all the time.
create function callfare.audit_change() returns trigger language plpgsql as $$
declare
    left_out text[] := tg_argv[2]::text[];
    row_before jsonb := case when tg_op in ('UPDATE', 'DELETE') then to_jsonb(old) - left_out end;
    row_after jsonb := case when tg_op in ('INSERT', 'UPDATE') then to_jsonb(new) - left_out end;
    changed_before jsonb := row_before;
    changed_after jsonb := row_after;
begin
    if tg_op = 'UPDATE' then
        if row_before = row_after then
            return null;
        end if;
        select jsonb_object_agg(key, value) into changed_before
        from jsonb_each(row_before) where row_after -> key is distinct from value;
        select jsonb_object_agg(key, value) into changed_after
        from jsonb_each(row_after) where row_before -> key is distinct from value;
    end if;
    insert into callfare.audit (database_user, program, action, subject, details)
    values (
        session_user, coalesce(nullif(current_setting('application_name', true), ''), 'unknown'),
        tg_argv[0] || ' ' || case tg_op
            when 'INSERT' then 'created' when 'UPDATE' then 'changed' when 'DELETE' then 'deleted' else 'emptied' end,
        coalesce(row_after ->> tg_argv[1], row_before ->> tg_argv[1], 'all'),
        jsonb_strip_nulls(jsonb_build_object('before', changed_before, 'after', changed_after))
    );
    return null;
end
$$;

create trigger audit after insert or update or delete on callfare.token
for each row execute function callfare.audit_change('token', 'token_id', '{token_hash,last_used_at}');
create trigger audit_emptied after truncate on callfare.token
for each statement execute function callfare.audit_change('token', 'token_id', '{}');

create trigger audit after insert or update or delete on callfare.price_book_version
for each row execute function callfare.audit_change('prices', 'version_id', '{snapshot}');
create trigger audit_emptied after truncate on callfare.price_book_version
for each statement execute function callfare.audit_change('prices', 'version_id', '{}');

create trigger audit after insert or update or delete on callfare.budget
for each row execute function callfare.audit_change('budget', 'name', '{}');
create trigger audit_emptied after truncate on callfare.budget
for each statement execute function callfare.audit_change('budget', 'name', '{}');

-- Its progress is written after each step; that is no change by anybody.
create trigger audit after insert or update of state or delete on callfare.rerate
for each row execute function callfare.audit_change('rerate', 'rerate_id', '{last_bucket,last_trace}');
create trigger audit_emptied after truncate on callfare.rerate
for each statement execute function callfare.audit_change('rerate', 'rerate_id', '{}');

create function callfare.audit_stays() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is only added to';
end
$$;

create trigger audit_stays before update or delete on callfare.audit
for each row execute function callfare.audit_stays();
create trigger audit_stays_whole before truncate on callfare.audit
for each statement execute function callfare.audit_stays();
