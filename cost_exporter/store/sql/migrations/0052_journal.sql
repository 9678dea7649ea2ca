-- The journal: what changed after it had become final, and what had been said before. Append-only.
--
--   record    a record of a workflow that was final, before and after: what corrections are made of
--   workflow  what late spans changed about such a workflow, on one tenant's account
--   content   a content, decision or quote that was replaced, whether final or not; the same again adds nothing
--
-- Whoever reads it goes by `transaction_id`, not by `posting_id`: numbers are given before a commit, and a
-- transaction that commits late would be passed over.

create table callfare.journal (
  posting_id         bigint generated always as identity primary key,
  transaction_id     xid8 not null default pg_current_xact_id(),
  posted_at          timestamptz not null default now(),
  kind               text not null check (kind in ('record', 'workflow', 'content')),
  reason             text not null
    check (reason ~ '^(late|conflict|settled|attribution|unjoined|rerate:[0-9]+|undo:[0-9]+)$'),
  tenant_id          text not null check (tenant_id <> ''),
  namespace          text not null,
  trace_id           uuid not null,
  span_id            bigint,
  finalised_at       timestamptz,
  span_count         integer check (span_count >= 0),
  old_tenant_id      text,
  new_tenant_id      text,
  old_status         text,
  new_status         text,
  old_cost_usd       numeric check (old_cost_usd >= 0 and old_cost_usd < 'Infinity'),
  new_cost_usd       numeric check (new_cost_usd >= 0 and new_cost_usd < 'Infinity'),
  old_unpriced_count bigint check (old_unpriced_count >= 0),
  new_unpriced_count bigint check (new_unpriced_count >= 0),
  old_started_at     timestamptz,
  new_started_at     timestamptz,
  old_quantities     jsonb,
  new_quantities     jsonb,
  old_labels         jsonb,
  new_labels         jsonb,
  content_hash       bigint,
  content            jsonb,
  constraint journal_kind_columns_check check (case kind
    when 'record' then span_id is not null and finalised_at is not null
      and coalesce(new_status, old_status) is not null and tenant_id = coalesce(new_tenant_id, old_tenant_id)
    when 'workflow' then finalised_at is not null and span_count is not null and old_cost_usd is not null
      and new_cost_usd is not null and old_unpriced_count is not null and new_unpriced_count is not null
    else span_id is not null and content_hash is not null and content is not null end)
);
create index journal_of_records on callfare.journal (transaction_id, posting_id) where kind = 'record';
create index journal_by_trace on callfare.journal (trace_id) where kind <> 'content';
create unique index journal_content_once on callfare.journal (trace_id, span_id, namespace, content_hash, reason)
  where kind = 'content';
create index journal_content_by_reason on callfare.journal (reason, trace_id) where kind = 'content';
comment on column callfare.journal.tenant_id is 'who pays now; old_tenant_id is who paid before';
comment on column callfare.journal.old_labels is 'category, model and the like, under which it was counted';

insert into callfare.journal (
  posted_at, kind, reason, tenant_id, namespace, trace_id, span_id, content_hash, content)
select
  recorded_at, 'content', reason, coalesce(record.tenant_id, revision.namespace), revision.namespace,
  revision.trace_id, ('x' || revision.span_id)::bit(64)::bigint, revision.content_hash, content
from callfare.record_revision as revision
left join callfare.record on record.trace_id = revision.trace_id and record.namespace = revision.namespace
  and record.span_id = ('x' || revision.span_id)::bit(64)::bigint
order by revision_id;

insert into callfare.journal (
  posted_at, kind, reason, tenant_id, namespace, trace_id, finalised_at, span_count, old_tenant_id, new_tenant_id,
  old_cost_usd, new_cost_usd, old_unpriced_count, new_unpriced_count)
select
  amended_at, 'workflow', 'late', tenant_id, namespace, trace_id, finalised_at, span_count, tenant_id, tenant_id,
  before_usd, after_usd, before_unpriced, after_unpriced
from callfare.amendment
order by amendment_id;

drop table callfare.record_revision;
drop table callfare.amendment;

create view callfare.record_revision as
select
  posting_id as revision_id, posted_at as recorded_at, namespace, trace_id, callfare.hex16(span_id) as span_id, reason,
  content_hash, content
from callfare.journal
where kind = 'content';

create view callfare.amendment as
select
  posting_id as amendment_id, posted_at as amended_at, namespace, tenant_id, trace_id, finalised_at, span_count,
  old_cost_usd as before_usd, new_cost_usd as after_usd, old_unpriced_count as before_unpriced,
  new_unpriced_count as after_unpriced
from callfare.journal
where kind = 'workflow';
