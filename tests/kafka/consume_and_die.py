"""`callfare consume` that is killed after COMMIT of its first messages, before their offsets are given back."""

import os
import signal
import sys
from typing import Any

import cost_exporter.receive.kafka.consumer as module
from cost_exporter.cli.app import run


class DyingClient(module.Consumer):
    def commit(self, *arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


module.Consumer = DyingClient  # type: ignore[misc]
sys.exit(run(sys.argv[1:]))
