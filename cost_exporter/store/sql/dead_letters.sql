-- Statements of `store/dead_letters.py`: replaying what could not be stored.

-- letters_to_replay --
-- Dead letters that wait and hold what can be replayed, oldest first.
select dead_letter_id, namespace, (extract(epoch from received_at) * 1000000)::bigint as received_at_us,
  is_tenant_trusted, payload, payload_kind
from callfare.dead_letter
where replayed_at is null and payload_kind <> 'none' and dead_letter_id > %(after)s
  and (%(ids)s::bigint[] is null or dead_letter_id = any(%(ids)s))
order by dead_letter_id
limit 100;

-- letter_replayed --
-- What became of a replayed letter; an empty error means that its spans are stored.
update callfare.dead_letter set
  replayed_at = case when %(error)s = '' then now() end, replay_error = nullif(%(error)s, '')
where dead_letter_id = %(dead_letter_id)s;
