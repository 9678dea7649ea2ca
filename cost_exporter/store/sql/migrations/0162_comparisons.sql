-- Comparisons with a provider's own figures that were kept, as they were then. Tenant `*` is all of them together.
create table callfare.comparison (
  comparison_id bigint generated always as identity primary key,
  made_at       timestamptz not null default now(),
  provider      text not null,
  tenant_id     text not null check (tenant_id <> ''),
  since         date not null,
  until         date not null check (until > since),
  outcomes      jsonb not null check (jsonb_typeof(outcomes) = 'object'),
  findings      jsonb not null check (jsonb_typeof(findings) = 'array')
);
create index comparison_by_time on callfare.comparison (made_at desc);
