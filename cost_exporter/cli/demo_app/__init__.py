"""What the demo runs: a small voice agent that knows nothing of callfare, and local fakes of its four vendors.

`voice_agent.py` and `insights.py` are the application, each a process of its own; `vendors.py` serves the fakes.
"""
