-- Statements of `store/database/migrate.py`: the record of which migrations were applied. The schema is in `migrations/`.

-- make_schema --
-- Where everything is.
create schema if not exists callfare;

-- make_migration_table --
-- Before the first migration.
create table if not exists callfare.schema_migration (
  version    integer primary key,
  name       text not null,
  sha256     text not null,
  applied_at timestamptz not null default now()
);

-- migration_table --
-- Null where nothing was ever migrated.
select to_regclass('callfare.schema_migration');

-- applied_migrations --
-- What was applied, with its checksum.
select version, name, sha256 from callfare.schema_migration;

-- insert_migration --
-- In the transaction of the migration itself.
insert into callfare.schema_migration (version, name, sha256) values (%(version)s, %(name)s, %(sha256)s);
