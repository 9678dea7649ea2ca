-- Statements of `store/tokens.py`: credentials.

-- insert_token --
-- A new token; only its hash is stored.
insert into callfare.token (token_hash, tenant_id, scope, expires_at)
values (%(token_hash)s, %(tenant)s, %(scope)s, %(expires_at)s);

-- tokens --
-- Every token ever created, the newest first.
select token_id, tenant_id, scope, created_at, revoked_at, expires_at from callfare.token order by token_id desc;

-- revoke_token --
-- The row stays, as evidence.
update callfare.token set revoked_at = now() where token_id = %(token_id)s and revoked_at is null;

-- token_hashes --
-- Every token by hash, and whether it is in force.
select token_hash, tenant_id, scope, token_id, revoked_at is null and coalesce(expires_at > now(), true)
from callfare.token;

-- token_ever --
-- One row if there ever was a token.
select from callfare.token_ever;
