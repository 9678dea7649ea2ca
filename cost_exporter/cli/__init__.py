"""The command line: one file per group of commands. `service.py` is where everything is put together.

`commands.py` lists the commands and where each is, `app.py` is what they have in common, `options.py`, `output.py` and
`database.py` what several of them use.
"""
