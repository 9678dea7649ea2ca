"""Reading: OTLP spans -> usage records, whatever dialect the emitter speaks."""
