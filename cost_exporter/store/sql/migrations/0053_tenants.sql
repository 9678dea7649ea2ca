-- Row-level security needs the tenant as a column of every table that holds a tenant's data, and views that read with
-- the rights of whoever asks. Without `security_invoker` a view reads as its owner, whom no policy binds.

-- Both belong to the tenant of the credential, whatever the spans say.
alter table callfare.dead_letter add column tenant_id text generated always as (namespace) stored;
alter table callfare.producer add column tenant_id text generated always as (namespace) stored;

alter view callfare.amendment set (security_invoker = true);
alter view callfare.cost_record set (security_invoker = true);
alter view callfare.daily_cost set (security_invoker = true);
alter view callfare.hourly_cost set (security_invoker = true);
alter view callfare.hours_check set (security_invoker = true);
alter view callfare.integrity_check set (security_invoker = true);
alter view callfare.price_in_force set (security_invoker = true);
alter view callfare.producer_gap set (security_invoker = true);
alter view callfare.record_check set (security_invoker = true);
alter view callfare.record_hour set (security_invoker = true);
alter view callfare.record_measure set (security_invoker = true);
alter view callfare.record_revision set (security_invoker = true);
alter view callfare.record_spend set (security_invoker = true);
alter view callfare.spend_by set (security_invoker = true);
alter view callfare.usage_stats set (security_invoker = true);
alter view callfare.workflow_cost set (security_invoker = true);
alter view callfare.workflow_total_check set (security_invoker = true);
