-- Statements of `store/database/migrate.py`: the record of which migrations were applied. The schema is in `migrations/`.

-- is_only_a_user --
-- Whether the schema is there and this user can change nothing in it.
select not pg_has_role(current_user, relowner, 'MEMBER')
from pg_class where oid = to_regclass('callfare.schema_migration');

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

-- lacks_compatibility --
-- One row where the table was made before a step could be one that older programs work with.
select 1 where not exists (
  select from pg_attribute
  where attrelid = 'callfare.schema_migration'::regclass and attname = 'lets_older_work' and not attisdropped);

-- add_compatibility --
-- Unless a step declares otherwise, a program that does not know it must not touch the schema.
alter table callfare.schema_migration add column lets_older_work boolean not null default false;

-- migration_table --
-- Null where nothing was ever migrated.
select to_regclass('callfare.schema_migration');

-- applied_migrations --
-- What was applied, with its checksum. By its name as a member, so that a table that lacks the column can be read too.
select version, name, sha256, coalesce((to_jsonb(step) ->> 'lets_older_work')::boolean, false)
from callfare.schema_migration as step;

-- insert_migration --
-- In the transaction of the migration itself.
insert into callfare.schema_migration (version, name, sha256, lets_older_work)
values (%(version)s, %(name)s, %(sha256)s, %(lets_older_work)s);
