-- Statements of `store/database/roles.py`: the roles that reading runs in, their policies and their grants.

-- reading_roles --
-- The roles that exist, whether they would go around the policies, and whether this user can take them.
select
  rolname,
  rolsuper or rolbypassrls
    or exists (select from pg_class where relnamespace = 'callfare'::regnamespace and relowner = pg_roles.oid),
  pg_has_role(
    current_user, oid, case when current_setting('server_version_num')::integer < 160000 then 'MEMBER' else 'SET' end)
from pg_roles where rolname = any(%(names)s);

-- make_role --
-- It only reads, and nobody can log in as it.
create role {role} nologin nosuperuser nobypassrls noinherit;

-- let_take_role --
-- The user of this database may read as this role.
grant {role} to current_user;

-- let_enter_schema --
-- Alone it shows nothing.
grant usage on schema callfare to {role};

-- relations_to_protect --
-- Views and tables that lack a policy or a grant for one of the roles, and whether they say whose each row is.
select relname, relkind::text, has_tenant
from (
  select pg_class.oid, relname, relkind,
    exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id') as has_tenant
  from pg_class
  where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition
) as relation
where exists (
  select from unnest(%(names)s::text[]) as role (name)
  where not has_table_privilege(name, relation.oid, 'select')
    and (relkind = 'v' or has_tenant or relname = any(%(of_no_tenant)s))
) or (has_tenant and relkind <> 'v' and not (select relrowsecurity from pg_class where oid = relation.oid));

-- protect_table --
-- Without a policy nobody but the owner sees a row.
alter table {table} enable row level security;

-- drop_policy --
-- Before it is made as it is now.
drop policy if exists {role} on {table};

-- make_policy --
-- Which rows a role sees.
create policy {role} on {table} for select to {role} using ({condition});

-- let_read --
-- Never on a partition: one that is named would show every row.
grant select on {table} to {roles};

-- unprotected --
-- Tables that one of the roles can read, and that hold rows of tenants without a policy in force.
select relname, role.name
from pg_class
cross join unnest(%(names)s::text[]) as role (name)
where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p')
  and exists (select from pg_roles where rolname = role.name)
  and has_table_privilege(role.name, pg_class.oid, 'select')
  and exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')
  and (relispartition or not relrowsecurity
    or not exists (select from pg_policy where polrelid = pg_class.oid and polname = role.name));

-- take_role --
-- For the rest of the transaction.
select set_config('callfare.tenant', %(tenant)s, true), set_config('role', %(role)s, true);

-- take_role_of_several --
-- The same for several tenants, as an array.
select set_config('callfare.tenant', %(tenants)s::text[]::text, true), set_config('role', %(role)s, true);
