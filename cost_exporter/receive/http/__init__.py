"""OTLP over HTTP: `receiver.py` is the application, `body.py` reads a request within bounds, `server.py` runs both it
and the web address under uvicorn.
"""
