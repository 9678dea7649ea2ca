"""The environments in which Pipecat and LiveKit are installed for their own tests; they run the examples as well."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.instrumentation.older_sdks import Older, environment_for, older_releases


def framework_python(framework: str) -> Path:
    """The Python of such an environment, installed on first use; where it cannot be, the test is skipped."""
    (found,) = [each for each in older_releases() if each.release.startswith(f"{framework}-")]
    return python_with(found)


def python_with(found: Older) -> Path:
    """The Python of an environment with this release; where it cannot be installed, the test is skipped."""
    try:
        return environment_for(found)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{found.release} cannot be installed here: {type(error).__name__}")
