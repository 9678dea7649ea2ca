"""Reports as values, and the forms they are printed in. Pure: rows come in, text goes out.

`spend.py` is what a period cost by group, `comparison.py` the same beside the period before, `workflow.py` one trace
call by call, with `margin.py` for its profit and `decisions.py` for why a span is billed or not. A report makes a
`Sheet` (`sheet.py`), which `forms.py` writes as table, markdown or CSV; `amounts.py` writes every figure, `≥` included,
and `unit_price.py` unit prices.
"""
