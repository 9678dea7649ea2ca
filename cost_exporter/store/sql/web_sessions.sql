-- Statements of `store/web_sessions.py`: sessions of browsers.

-- insert_session --
-- A new session; only the hash of its id is stored. It ends with its token.
insert into callfare.web_session (session_hash, token_id, expires_at)
select %(session_hash)s, token_id, least(now() + %(lasts)s, expires_at)
from callfare.token where token_id = %(token_id)s;

-- session_credential --
-- The token of a session, as long as both are in force.
select token.token_id, token.tenants, token.scopes
from callfare.web_session as session
join callfare.token on token.token_id = session.token_id
where session.session_hash = %(session_hash)s and session.expires_at > now()
  and token.revoked_at is null and coalesce(token.expires_at > now(), true);

-- delete_session --
-- Logged out, or replaced by a new login.
delete from callfare.web_session where session_hash = %(session_hash)s;

-- delete_ended_sessions --
-- Nobody can use them any more.
delete from callfare.web_session where expires_at <= now();
