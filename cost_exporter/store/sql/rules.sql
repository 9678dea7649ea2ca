-- Statements of `store/rules.py`: revenue and fees of the configuration.

-- lock_rules --
-- One service at a time replaces the rules; readers go on.
lock table callfare.revenue_rule, callfare.fee_rule in exclusive mode;

-- delete_revenue_rules --
-- All are replaced.
delete from callfare.revenue_rule;

-- delete_fee_rules --
-- All are replaced.
delete from callfare.fee_rule;

-- insert_revenue_rule --
-- What a workflow of this name and outcome earns. The first rule that matches counts.
insert into callfare.revenue_rule (position, workflow, outcome, amount) values (%s, %s, %s, %s);

-- insert_fee_rule --
-- The payment fee on revenue.
insert into callfare.fee_rule (position, percent, fixed) values (%s, %s, %s);

-- update_margin_rule --
-- Whether a workflow that failed earns anything.
update callfare.margin_rule set earns_when_failed = %(earns_when_failed)s;
