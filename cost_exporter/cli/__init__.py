"""The command line: one file a group of commands. `service.py` is where everything is put together."""
