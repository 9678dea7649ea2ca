-- Statements of `store/identity.py`: which ledger a database holds, and how far it has come.

-- ledger_id --
-- Made with the schema; a copy of the database has the same one.
select ledger_id from callfare.ledger_identity;

-- server_identity --
-- The server that the database was made on, its timeline (a new one after each promotion and each recovery to a point in
-- time) and the next transaction number. Where it is a standby, the timeline is that of its last checkpoint.
select
  (select system_identifier from pg_control_system()),
  case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
