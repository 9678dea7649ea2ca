-- Statements of `store/price_books.py`: versions of the price book, appended and never updated.

-- latest_version --
-- The number of the newest version. One index lookup.
select max(version_id) from callfare.price_book_version;

-- latest_versions --
-- The newest version of each file and of the imports, the newest last.
select version_id, kind, name, recorded_at from callfare.price_book_version where version_id in (
  select max(version_id) from callfare.price_book_version group by kind, case when kind = 'load' then name end
) order by version_id;

-- latest_snapshot --
-- The newest import, or the newest up to a version.
select snapshot from callfare.price_book_version
where kind = 'import' and (%(until)s::bigint is null or version_id <= %(until)s) order by version_id desc limit 1;

-- version_numbers --
-- Every version, the newest first.
select version_id from callfare.price_book_version order by version_id desc;

-- loaded_before --
-- Whether a file has the content with which it was loaded last; no row if it never was.
select content_sha256 = %(content)s from callfare.price_book_version where kind = 'load' and name = %(name)s
order by version_id desc limit 1;

-- loaded_elsewhere --
-- Whether another file was loaded with this content.
select exists (select from callfare.price_book_version where kind = 'load' and content_sha256 = %(content)s);

-- insert_version --
-- The number of a new version.
insert into callfare.price_book_version (kind, name, content_sha256, row_count, snapshot)
values (%(kind)s, %(name)s, %(content_sha256)s, %(row_count)s, %(snapshot)s) returning version_id;

-- copy_prices --
-- The rows of a version.
copy callfare.price (version_id, position, book, provider, model, match, unit, price, per, valid_from, valid_to,
  conditions, context_tier, time_window, increment, minimum, round_scope, multiplier, bill_on_error,
  inherits_list, is_imported, assumed, source, checked, confidence, note, price_id) from stdin;

-- insert_factor --
-- A factor of a version.
insert into callfare.price_factor (version_id, position, book, provider, model, factor, valid_from, valid_to)
values (%s, %s, %s, %s, %s, %s, %s, %s);

-- insert_alias --
-- A model alias of a version.
insert into callfare.price_alias (version_id, position, provider, name, match, model, valid_from, valid_to)
values (%s, %s, %s, %s, %s, %s, %s, %s);

-- loaded_prices --
-- Every row ever loaded, in order; imports are read from their snapshot.
select book, provider, model, match, unit, price, per, valid_from, valid_to, conditions, context_tier, time_window,
  increment, minimum, round_scope, multiplier, bill_on_error, inherits_list, assumed, source, checked, confidence,
  note
from callfare.price where not is_imported and (%(until)s::bigint is null or version_id <= %(until)s) order by version_id, position;

-- loaded_factors --
-- Every factor ever loaded, in order.
select book, provider, model, factor, valid_from, valid_to from callfare.price_factor
where (%(until)s::bigint is null or version_id <= %(until)s) order by version_id, position;

-- loaded_aliases --
-- Every model alias ever loaded, in order.
select provider, name, match, model, valid_from, valid_to from callfare.price_alias
where (%(until)s::bigint is null or version_id <= %(until)s) order by version_id, position;
