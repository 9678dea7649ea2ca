"""OTLP over gRPC: `receiver.py` is the service, `bounded_pool.py` its threads, which answer also when all are busy."""
