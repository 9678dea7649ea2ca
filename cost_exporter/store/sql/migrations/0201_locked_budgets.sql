-- A reservation locks its accounts and reads them in one round trip.

create index budget_of_tenant on callfare.budget (tenant_id);

-- The accounts of a call, locked until the end of the transaction, in their windows. Each statement of a volatile
-- function has a snapshot of its own, so what is read is what is true after the locks were got. What the caller's own
-- snapshot shows would miss the grant that it waited for.
create function callfare.locked_budgets(
  its_tenant text, its_api_key text, its_user text, its_category text, its_provider text, its_model text,
  at timestamptz
) returns table (
  account_id bigint, name text, tenant_id text, time_window text, window_start timestamptz, resets_at timestamptz,
  limit_usd numeric, spent_usd numeric, reserved_usd numeric, enforcement text, unpriced text, assumed_usd numeric,
  lease_count bigint
)
  language plpgsql volatile as $$
#variable_conflict use_column
declare
  account_ids bigint[];
  moment timestamptz;
begin
  insert into callfare.budget_account (budget_id, tenant_id)
  select budget.budget_id, its_tenant
  from callfare.budgets_for(its_tenant, its_api_key, its_user, its_category, its_provider, its_model) as budget
  where not exists (
    select from callfare.budget_account as account
    where account.budget_id = budget.budget_id and account.tenant_id = its_tenant)
  order by 1
  on conflict (budget_id, tenant_id) do nothing;

  account_ids := array(
    select account.account_id
    from callfare.budgets_for(its_tenant, its_api_key, its_user, its_category, its_provider, its_model) as budget
    join callfare.budget_account as account on account.budget_id = budget.budget_id and account.tenant_id = its_tenant
    order by account.account_id
    for update of account);

  if account_ids <> '{}' then
    moment := coalesce(at, clock_timestamp());  -- a volatile argument would keep the planner from looking inside
    return query
    select
      state.account_id, state.name, state.tenant_id, state.time_window, state.window_start, state.resets_at,
      state.limit_usd, state.spent_usd, state.reserved_usd, state.enforcement, state.unpriced, state.assumed_usd,
      state.lease_count
    from callfare.budget_state(moment) as state
    where state.account_id = any(account_ids)
    order by state.account_id;
  end if;
end
$$;
