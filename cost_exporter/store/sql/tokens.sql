-- Statements of `store/tokens.py`: credentials.

-- insert_token --
-- A new token; only its hash is stored.
insert into callfare.token (token_hash, tenants, scopes, expires_at)
values (%(token_hash)s, %(tenants)s, %(scopes)s, %(expires_at)s);

-- tokens --
-- Every token ever created, the newest first.
select token_id, tenants, scopes, created_at, revoked_at, expires_at, last_used_at
from callfare.token order by token_id desc;

-- revoke_token --
-- The row stays, as evidence.
update callfare.token set revoked_at = now() where token_id = %(token_id)s and revoked_at is null;

-- token_hashes --
-- Every token by hash, and whether it is in force.
select token_hash, tenants, scopes, token_id, revoked_at is null and coalesce(expires_at > now(), true)
from callfare.token;

-- token_ever --
-- One row if there ever was a token.
select from callfare.token_ever;

-- write_last_use --
-- When tokens were last used. Several services write it: the latest time stays.
update callfare.token set last_used_at = used.at
from unnest(%(token_ids)s::bigint[], %(used_at)s::timestamptz[]) as used (token_id, at)
where token.token_id = used.token_id and coalesce(token.last_used_at < used.at, true);
