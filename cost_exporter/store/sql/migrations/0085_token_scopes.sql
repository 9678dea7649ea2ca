-- A token may have several scopes, and read several tenants. When it was last used is kept, to find those nobody needs.

alter table callfare.token add column tenants text[];
alter table callfare.token add column scopes text[];
alter table callfare.token add column last_used_at timestamptz;
update callfare.token set tenants = array[tenant_id], scopes = array[scope];
alter table callfare.token drop column tenant_id;
alter table callfare.token drop column scope;
alter table callfare.token alter column tenants set not null;
alter table callfare.token alter column scopes set not null;
alter table callfare.token add constraint token_has_tenants
    check (cardinality(tenants) > 0 and array_position(tenants, null) is null and '' <> all(tenants));
alter table callfare.token add constraint token_has_scopes
    check (cardinality(scopes) > 0 and scopes <@ array['ingest', 'read', 'admin', 'relay', 'metrics']);
-- Spans belong to one tenant.
alter table callfare.token add constraint token_sends_for_one_tenant
    check (not scopes && array['ingest', 'relay'] or (cardinality(tenants) = 1 and '*' <> all(tenants))
    or revoked_at is not null);
