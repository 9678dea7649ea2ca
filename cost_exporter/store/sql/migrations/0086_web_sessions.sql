-- Sessions of browsers: the hash of an id that a cookie holds, and the token that was shown for it.
-- No foreign key: a table of tokens that is emptied or restored must not be held up by sessions, which then find none.

create table callfare.web_session (
    session_hash bytea primary key check (octet_length(session_hash) = 32),
    token_id bigint not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index web_session_expires_at on callfare.web_session (expires_at);
