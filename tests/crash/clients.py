"""Clients that never give up: each sends its batches, retries what was not acknowledged, and repeats one in ten."""

import random
import threading
import time

import grpc

from tests.crash.traffic import Batch, ClientLedger, batches
from tests.support.waiting import PATIENCE_SECONDS, wait_until

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DUPLICATE_SHARE = 0.1
PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_DEADLINE_SECONDS = 10
_RETRY_SECONDS = 0.1
_PACE_SECONDS = 0.01


class Clients:
    """A few clients in threads, stopped together. Their ledgers are read after `stop`."""

    def __init__(self, address: str, *, count: int, seed: int = 1) -> None:
        """Take the address of the service; sending begins with `start`."""
        self.ledgers = [ClientLedger() for _ in range(count)]
        self._address = address
        self._stopping = threading.Event()
        self._giving_up = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(seed * 1000 + index, ledger), name=f"client-{index}")
            for index, ledger in enumerate(self.ledgers)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def await_progress(self) -> None:
        """Return when a batch was acknowledged from now on: a service that serves nobody cannot be interrupted."""
        before = self._batch_count()
        wait_until("an acknowledgement", lambda: self._batch_count() > before)

    def stop(self) -> bool:
        """Begin no new batch, wait for those under way, and return whether all of them were acknowledged."""
        self._stopping.set()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        all_done = not any(thread.is_alive() for thread in self._threads)
        self._giving_up.set()
        for thread in self._threads:
            thread.join()
        return all_done

    def _batch_count(self) -> int:
        return sum(ledger.batch_count for ledger in self.ledgers)

    def _send(self, seed: int, ledger: ClientLedger) -> None:
        chance = random.Random(seed)
        sent: list[Batch] = []
        for batch in batches(seed, time.time_ns()):
            if self._stopping.is_set():
                return
            is_acknowledged = self._send_until_acknowledged(batch, ledger)
            if is_acknowledged:
                ledger.add(batch)
                sent = [*sent[-50:], batch]
            # However slow the machine: at least one is repeated.
            if sent and (not ledger.duplicate_batch_count or chance.random() < DUPLICATE_SHARE):
                ledger.duplicate_batch_count += 1
                self._send_until_acknowledged(chance.choice(sent), ledger)

    def _send_until_acknowledged(self, batch: Batch, ledger: ClientLedger) -> bool:
        while not self._giving_up.is_set():
            # A channel an attempt would be dear; one a batch is enough to get a fresh connection after a kill.
            with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                export = channel.unary_unary(METHOD)
                try:
                    export(batch.payload, timeout=_DEADLINE_SECONDS, wait_for_ready=False)
                except grpc.RpcError as error:
                    self._note(error, ledger)
                    self._giving_up.wait(_RETRY_SECONDS)
                else:
                    self._stopping.wait(_PACE_SECONDS)
                    return True
        return False

    def _note(self, error: grpc.RpcError, ledger: ClientLedger) -> None:
        ledger.failure_count += 1
        code = error.code() if isinstance(error, grpc.Call) else None
        if code not in PASSING:
            # Real exporters drop the batch on this: one such answer is lost money.
            ledger.refusals.add(f"{code}: {error.details() if isinstance(error, grpc.Call) else error}")
