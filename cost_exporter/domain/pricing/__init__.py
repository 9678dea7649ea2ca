"""Pricing: from usage to a quote, by the price book. Pure.

`book.py` is the way in. It asks `match.py` which rows are about a model, `rate_card.py` which of them are in force at
a time and for which units, and `quote.py` to multiply and add up. `rows.py` is what a price file states;
`explain.py` writes the arithmetic of a line for people.
"""
