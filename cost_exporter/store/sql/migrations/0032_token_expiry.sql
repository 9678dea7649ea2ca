-- Tokens that end by themselves, and tokens that read every tenant (tenant '*').
-- A token of a tenant that is really called '*' would see everybody from now on, so it is taken out of force.

alter table callfare.token add column expires_at timestamptz check (expires_at > created_at);
update callfare.token set revoked_at = greatest(now(), created_at) where tenant_id = '*' and revoked_at is null;
alter table callfare.token add constraint token_of_all_tenants
    check (tenant_id <> '*' or scope in ('read', 'admin', 'metrics') or revoked_at is not null);
