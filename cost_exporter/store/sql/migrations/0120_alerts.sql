-- Alerts: made once each, after the commit that they are about, and delivered at least once.

-- Who spent since alerts were last judged: written by the transaction that stores the calls, deleted by the one that
-- judges them. Without a key, so that no two writers wait for each other. Losing it costs a minute: the sweep judges all.
create unlogged table callfare.spend_mark (
  mark_id      bigint generated always as identity primary key,
  tenant_id    text not null,
  service_name text
);

-- Marks are made only while somebody judges.
create table callfare.alert_judge (
  is_only_row boolean primary key default true check (is_only_row),
  judged_at   timestamptz not null
);
insert into callfare.alert_judge (judged_at) values ('-infinity');

-- When services sent something, and how long they were silent at most between the first time and the last.
create table callfare.service_seen (
  tenant_id     text not null,
  service_name  text not null,
  first_seen_at timestamptz not null,
  last_seen_at  timestamptz not null,
  longest_gap   interval not null default '0',
  primary key (tenant_id, service_name)
);

-- The key makes one alert of what several services judge at once. A raised limit lets a threshold fire again, as the
-- next round. tenant_id '': of the service itself, such as old prices.
create table callfare.alert (
  alert_id     uuid primary key default gen_random_uuid(),
  kind         text not null
    check (kind in ('budget', 'unpriced', 'workflow_over', 'spike', 'silence', 'prices_old', 'integrity')),
  tenant_id    text not null,
  scope        text not null,
  window_start timestamptz not null,
  threshold    numeric not null,
  round        integer not null default 0 check (round >= 0),
  is_armed     boolean not null default false,
  limit_usd    numeric check (limit_usd >= 0 and limit_usd < 1e12),
  facts        jsonb not null check (jsonb_typeof(facts) = 'object'),
  made_at      timestamptz not null default now(),
  unique (kind, tenant_id, scope, window_start, threshold, round),
  constraint budgets_have_limits check ((kind = 'budget') = (limit_usd is not null))
);
create index alert_by_time on callfare.alert (made_at);
comment on column callfare.alert.is_armed is 'the limit was raised since, so that the threshold may fire again';

-- What each receiver has to get.
create table callfare.alert_delivery (
  alert_id   uuid not null references callfare.alert on delete cascade,
  receiver   text not null,
  tenant_id  text not null,
  state      text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
  attempts   integer not null default 0 check (attempts >= 0),
  next_at    timestamptz not null default now(),
  made_at    timestamptz not null default now(),
  ended_at   timestamptz,
  last_error text,
  primary key (alert_id, receiver),
  constraint ended_deliveries_have_an_end check ((state = 'waiting') = (ended_at is null))
);
create index alert_delivery_waiting on callfare.alert_delivery (receiver, next_at) where state = 'waiting';
