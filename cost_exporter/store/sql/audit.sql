-- Statements of `store/audit.py`: the audit log. The triggers that write it are in `migrations/0087_audit.sql`.

-- newest_changes --
-- The last changes, the newest first.
select audit_id, happened_at, database_user, program, action, subject, details
from callfare.audit order by audit_id desc limit %(count)s;
