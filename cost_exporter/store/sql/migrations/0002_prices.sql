-- Prices that were loaded or imported here, beside those that ship with the program. Append-only and bitemporal:
-- `valid_from`/`valid_to` say when a price applies, `recorded_at` when we learnt of it. A price is never changed;
-- one that is loaded later supersedes an equal row, and both stay.

create table callfare.price_book_version (
    version_id bigint generated always as identity primary key,
    kind text not null check (kind in ('load', 'import')),
    name text not null,
    content_sha256 text not null check (length(content_sha256) = 64),
    row_count integer not null check (row_count >= 0),
    recorded_at timestamptz not null default now(),
    -- An import as a whole, in the form that a service loads in milliseconds; null for a loaded file.
    snapshot text,
    check ((kind = 'import') = (snapshot is not null))
);

create table callfare.price (
    version_id bigint not null references callfare.price_book_version,
    position integer not null check (position >= 0),
    book text not null check (book in ('list', 'operator') or book like 'tenant:_%' or book like 'api_key:_%'),
    provider text not null,
    model text not null,
    match text not null check (match in ('exact', 'prefix', 'regex')),
    unit text not null,
    price numeric not null check (price >= 0 and price < 1e12),
    per numeric not null check (per > 0 and per < 1e12),
    currency text not null default 'USD' check (currency = 'USD'),
    valid_from timestamptz,
    valid_to timestamptz,
    conditions jsonb not null default '{}',
    context_tier jsonb,
    time_window jsonb,
    increment numeric check (increment > 0 and increment < 1e12),
    minimum numeric check (minimum >= 0 and minimum < 1e12),
    round_scope text not null default 'request' check (round_scope in ('request', 'leg', 'session')),
    multiplier text not null default '',
    bill_on_error boolean not null default false,
    inherits_list boolean not null default false,
    is_imported boolean not null default false,
    assumed text not null default '',
    source text not null default '',
    checked text not null default '',
    confidence text not null default '',
    note text not null default '',
    price_id text not null,
    recorded_at timestamptz not null default now(),
    primary key (version_id, position),
    check (valid_to is null or valid_from is null or valid_to > valid_from)
);
-- What a service reads at every start and change: loaded rows, in the order they were loaded.
create index price_loaded on callfare.price (version_id, position) where not is_imported;
create index price_of_model on callfare.price (provider, model, unit);

create table callfare.price_factor (
    version_id bigint not null references callfare.price_book_version,
    position integer not null check (position >= 0),
    book text not null,
    provider text not null default '',
    model text not null default '',
    factor numeric not null check (factor >= 0 and factor < 1e12),
    valid_from timestamptz,
    valid_to timestamptz,
    recorded_at timestamptz not null default now(),
    primary key (version_id, position)
);

create table callfare.price_alias (
    version_id bigint not null references callfare.price_book_version,
    position integer not null check (position >= 0),
    provider text not null,
    name text not null,
    match text not null check (match in ('exact', 'prefix', 'regex')),
    model text not null,
    valid_from timestamptz,
    valid_to timestamptz,
    recorded_at timestamptz not null default now(),
    primary key (version_id, position)
);

create function callfare.refuse_price_change() returns trigger language plpgsql as $$
begin
    raise exception 'prices are append-only: load a row that supersedes it'
        using errcode = 'integrity_constraint_violation';
end
$$;
create trigger price_book_version_is_append_only before update or delete or truncate
    on callfare.price_book_version for each statement execute function callfare.refuse_price_change();
create trigger price_is_append_only before update or delete or truncate
    on callfare.price for each statement execute function callfare.refuse_price_change();
create trigger price_factor_is_append_only before update or delete or truncate
    on callfare.price_factor for each statement execute function callfare.refuse_price_change();
create trigger price_alias_is_append_only before update or delete or truncate
    on callfare.price_alias for each statement execute function callfare.refuse_price_change();

-- The rows in force: of rows for the same thing from the same start, the one recorded last.
create view callfare.price_in_force as
select distinct on (book, provider, match, model, unit, conditions, context_tier, time_window, is_imported, valid_from) *
from callfare.price
where not is_imported
   or version_id = (select max(version_id) from callfare.price_book_version where kind = 'import')
order by book, provider, match, model, unit, conditions, context_tier, time_window, is_imported, valid_from,
    version_id desc, position desc;
