-- Expand: which ledger this is, so that a database that was replaced under the same address is noticed.
create table callfare.ledger_identity (
  is_only_row boolean primary key default true check (is_only_row),
  ledger_id   uuid not null default gen_random_uuid()
);
insert into callfare.ledger_identity default values;
