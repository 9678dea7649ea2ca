-- A scope for whoever scrapes /metrics, which shows every tenant's spend and nothing of their calls.

alter table callfare.token drop constraint token_scope_check;
alter table callfare.token add constraint token_scope_check
    check (scope in ('ingest', 'read', 'admin', 'relay', 'metrics'));
