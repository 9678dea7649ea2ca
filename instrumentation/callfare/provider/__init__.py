"""What is installed on the tracer provider of the application.

`hook.py` puts it there: `context.py` writes the attribution onto every span, `sampler.py` records what others would
not, `shutdown.py` flushes when the process ends, `border.py` drops baggage from strangers.
"""
