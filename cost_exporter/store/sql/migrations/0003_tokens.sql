-- Credentials (semantics 27): who may send for which tenant, and who may read.
-- A token itself is shown once and never stored; its SHA-256 is enough to recognise it.

create table callfare.token (
    token_id bigint generated always as identity primary key,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    tenant_id text not null check (tenant_id <> '' and length(tenant_id) <= 256),
    scope text not null check (scope in ('ingest', 'read', 'admin', 'relay')),
    created_at timestamptz not null default now(),
    -- Revoked tokens stay: they are the evidence of who could send until when.
    revoked_at timestamptz check (revoked_at >= created_at)
);
