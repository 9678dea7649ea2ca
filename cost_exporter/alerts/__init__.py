"""Alerts: judged after the commit that they are about, and sent from an outbox.

judge.py       a thread that looks at what was committed, and sweeps once a minute
delivery.py    a thread for each receiver, so that one that hangs delays no other
sending.py     one message to a webhook, Slack or Discord
apprise_process.py  to other services, by Apprise in a process of its own
connecting.py  only to public addresses, unless the configuration allows others

What a message says is in `report/alerts.py`: figures and names, never the content of a call.
"""
