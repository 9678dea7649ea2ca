"""The parts that are installed on the application's tracer provider.

`hook.py` puts it there: `context.py` writes the attribution onto every span, `sampler.py` records what others would
not, `shutdown.py` flushes when the process ends, `border.py` drops baggage from strangers.
"""
