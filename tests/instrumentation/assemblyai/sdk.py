"""The installed release of AssemblyAI's SDK, and a client of it that talks to the fake."""

from importlib import metadata
from typing import Any

import assemblyai

from tests.instrumentation.fakes.assemblyai import FakeAssemblyAI

__all__ = ["MAJOR", "client_of", "settings_of"]

MAJOR = int(metadata.version("assemblyai").split(".")[0])
_SERVICES = ("sync_base_url", "tts_base_url", "dictation_base_url", "llm_gateway_base_url")


def settings_of(fake: FakeAssemblyAI) -> Any:
    """Every service of the vendor at the fake."""
    fields: Any = getattr(assemblyai.Settings, "model_fields" if MAJOR else "__fields__")
    services = {name: fake.url for name in _SERVICES if name in fields}
    return assemblyai.Settings(api_key="k", base_url=fake.url, polling_interval=0.01, **services)


def client_of(fake: FakeAssemblyAI) -> Any:
    """A blocking client, which the fake's fixture closes."""
    client = assemblyai.Client(settings=settings_of(fake))
    fake.clients.append(client)  # ours to close: 0.x cannot
    return client
