"""Alerts: judged after the commit that they are about, and sent from an outbox.

judge.py       a thread that looks at what was committed, and sweeps once a minute
delivery.py    a thread for each receiver, so that one that hangs delays no other
sending.py     one message to a webhook, Slack or Discord
connecting.py  only to public addresses, unless the configuration allows others
message.py     what a message says: figures and names, never the content of a call
"""
