"""Environments in which Pipecat and LiveKit are installed beside callfare's application side: both are heavy."""

import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

from tests.instrumentation.older_sdks import Older, environment_for

_AUTO_INSTRUMENTATION: Final = tuple(
    f"{name}=={metadata.version(name)}" for name in ("opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http")
)
_FRAMEWORKS: Final = {
    "pipecat": ("pipecat-ai==1.14.0", "openai"),
    "livekit": ("livekit-agents==1.8.9", "livekit-plugins-openai==1.8.9"),
}


def framework_python(framework: str) -> Path:
    """The Python of such an environment, installed on first use; where it cannot be, the test is skipped."""
    release, *extra = _FRAMEWORKS[framework]
    try:
        return environment_for(Older(release=release, module="", extra=(*extra, *_AUTO_INSTRUMENTATION)))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{release} cannot be installed here: {type(error).__name__}")
