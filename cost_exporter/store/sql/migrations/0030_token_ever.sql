-- Whether there ever was a token. Emptying the table of tokens, by mistake or by a restore, must not open the
-- service to everybody: once there was a token, an empty table means that nobody is let in.

create table callfare.token_ever (
    only_row boolean primary key default true check (only_row),
    first_created_at timestamptz not null default now()
);

insert into callfare.token_ever (first_created_at)
select min(created_at) from callfare.token having count(*) > 0;

create function callfare.remember_token() returns trigger language plpgsql as $$
begin
    insert into callfare.token_ever default values on conflict do nothing;
    return null;
end
$$;

create trigger remember_token after insert on callfare.token
for each statement execute function callfare.remember_token();
