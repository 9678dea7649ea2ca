-- Prices that are the same for everybody get a number, so that a cost line need not spell out what it was priced by.

-- Append-only, and as many as prices of a book were ever used. Prices as text: exactly what a line said before.
create table callfare.rate (
  rate_id   bigint generated always as identity primary key,
  unit      text not null,
  price_usd text not null,
  per       text not null,
  price_id  text not null,
  unique (price_id, unit, price_usd, per)
);

-- A line is [unit, quantity, billed quantity, unit price, per, amount, price id]. Where the last is a number, it is that
-- of a rate, which has the unit and the price; a null billed quantity is the quantity itself.
create or replace function callfare.lines_json(lines jsonb) returns jsonb
  language sql stable parallel safe
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'unit', coalesce(to_jsonb(rate.unit), line -> 0), 'quantity', line -> 1,
      'billed_quantity', coalesce(nullif(line -> 2, 'null'), line -> 1),
      'unit_price', coalesce(to_jsonb(rate.price_usd), line -> 3), 'per', coalesce(to_jsonb(rate.per), line -> 4),
      'amount', line -> 5, 'price_id', coalesce(to_jsonb(rate.price_id), line -> 6)
    ) order by position), '[]'::jsonb)
    from jsonb_array_elements(lines) with ordinality as each (line, position)
    left join lateral (
      -- One look-up a line: without the limit all rates would be read for each record.
      select unit, price_usd, per, price_id from callfare.rate
      where rate_id = case when jsonb_typeof(line -> 6) = 'number' then (line -> 6)::bigint end
      limit 1
    ) as rate on true
  );

-- The same lines with nothing left to a number, for statements that take lines apart themselves.
create function callfare.spelled_lines(lines jsonb) returns jsonb
  language sql stable parallel safe
  return case when lines @? '$[*][6] ? (@.type() == "number")' then (
    select jsonb_agg(case when rate.price_id is null then line else jsonb_build_array(
      rate.unit, line -> 1, line -> 2, rate.price_usd, rate.per, line -> 5, rate.price_id) end order by position)
    from jsonb_array_elements(lines) with ordinality as each (line, position)
    left join lateral (
      select unit, price_usd, per, price_id from callfare.rate
      where rate_id = case when jsonb_typeof(line -> 6) = 'number' then (line -> 6)::bigint end
      limit 1
    ) as rate on true
  ) else lines end;
