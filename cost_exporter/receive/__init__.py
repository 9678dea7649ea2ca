"""Receiving: OTLP over gRPC and HTTP, or from inside the application, to one pipeline.

The steps of a request: `grpc/` or `http/` receive it, `auth.py` authenticates, `admission/` bounds what is accepted,
`gate.py` has it decoded (`decoding/`) and stored (the pipeline). `answer.py` lists the errors of these steps and what
each sender receives. `in_process.py` is the same inside an application, `workers/` the same in several processes, and
`stuck.py` recognises batches that keep failing.
"""
