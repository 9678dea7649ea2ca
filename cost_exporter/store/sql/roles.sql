-- Statements of `store/database/roles.py`: the roles that the service runs in, their policies and their grants.

-- service_role --
-- One row where there is one.
select 1 from pg_roles where rolname = %(service)s;

-- make_service_role --
-- For users that log in to be members of: it stores and reads, and owns nothing.
create role {role} nologin nosuperuser nobypassrls;

-- service_can_take --
-- One row where the service may read as this role.
select 1 from pg_auth_members
where member = %(service)s::regrole and roleid = %(name)s::regrole;

-- let_service_take_role --
-- A member of the service's role may read as this one.
grant {role} to {service};

-- owners_outside_the_service --
-- Who owns a table, is under its policies, and has not what the service's role has.
select distinct pg_roles.rolname
from pg_class join pg_roles on pg_roles.oid = relowner
where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p') and not relispartition
  and not rolsuper and not rolbypassrls
  and not pg_has_role(pg_roles.oid, (select oid from pg_roles where rolname = %(service)s), 'usage');

-- owners_who_see_nothing --
-- Whose own table shows them no row.
select distinct pg_roles.rolname
from pg_class join pg_roles on pg_roles.oid = relowner
where relnamespace = 'callfare'::regnamespace and relrowsecurity and relforcerowsecurity
  and not rolsuper and not rolbypassrls
  and not exists (
    select from pg_policy
    where polrelid = pg_class.oid and polname = %(service)s and pg_has_role(pg_roles.oid, polroles[1], 'usage'));

-- let_owner_see --
-- What is the service's is the owner's as well.
grant {service} to {owner};

-- let_owner_see_whatever_it_inherits --
-- The same for servers where that is a property of the grant.
grant {service} to {owner} with inherit true;

-- own_rights --
-- Whether this user goes around the policies: as a superuser, by a right of its own, as owner of a table.
select rolsuper, rolbypassrls,
  exists (select from pg_class where relnamespace = 'callfare'::regnamespace and relowner = pg_roles.oid)
from pg_roles where rolname = current_user;

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
-- Views and tables that lack a policy or a grant for one of the roles, whether they say whose each row is, and whether
-- readers see them.
select relname, relkind::text, has_tenant, relkind = 'v' or has_tenant or relname = any(%(of_no_tenant)s)
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
) or (has_tenant and relkind <> 'v' and (
    not (select relrowsecurity and relforcerowsecurity from pg_class where oid = relation.oid)
    or not exists (select from pg_policy where polrelid = relation.oid and polname = %(service)s)
    or exists (select from pg_policy where polrelid = relation.oid and polname = %(former_policy)s)))
  or not has_table_privilege(%(service)s, relation.oid, case when relkind = 'v' then 'select' else 'insert' end);

-- protect_table --
-- Without a policy nobody but the owner sees a row.
alter table {table} enable row level security;

-- drop_policy --
-- Before it is made as it is now.
drop policy if exists {role} on {table};

-- make_policy --
-- Which rows a role sees.
create policy {role} on {table} for select to {role} using ({condition});

-- make_open_policy --
-- Who stores, and who changes the schema and is a member, sees and writes every row.
create policy {name} on {table} to {role} using (true) with check (true);

-- force_policies --
-- Also for the owner, who is a member of the service's role.
alter table {table} force row level security;

-- let_write --
-- What the service does with a table.
grant select, insert, update, delete on {table} to {roles};

-- let_append --
-- What the service does with a table of which no row is changed.
grant select, insert on {table} to {roles};

-- let_make_months --
-- The functions that do this with the rights of the owner.
grant execute on function callfare.make_month(date), callfare.lock_month(date), callfare.drop_month(date) to {role};

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
