"""The programs of the demo: a small voice agent without a line of callfare, and local fakes of its four vendors.

`voice_agent.py` and `insights.py` are the application, each a process of its own; `vendors.py` serves the fakes.
"""
