-- Statements of `store/comparisons.py`: comparisons with providers that were kept.

-- keep_comparison --
-- Keep one as it is now.
insert into callfare.comparison (provider, tenant_id, since, until, outcomes, findings)
values (%(provider)s, %(tenant)s, %(since)s, %(until)s, %(outcomes)s::jsonb, %(findings)s::jsonb)
returning comparison_id;

-- latest_comparisons --
-- The last ones, the newest first, without what they found.
select comparison_id, made_at, provider, tenant_id, since, until, outcomes
from callfare.comparison
where %(tenant)s::text is null or tenant_id = %(tenant)s
order by made_at desc, comparison_id desc
limit %(count)s;

-- findings_of_comparison --
-- What one of them found.
select findings from callfare.comparison
where comparison_id = %(comparison_id)s and (%(tenant)s::text is null or tenant_id = %(tenant)s);
