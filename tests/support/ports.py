"""Ports for programs that are told theirs, or are started again on the same one."""

import random
import socket


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that the kernel gives to outgoing connections.

    So a program that starts later, or again after a kill, still finds them free. And whoever tries to connect while
    nobody listens is refused: on a port that the kernel may give to him as his own, he can reach himself.
    """
    found: list[int] = []
    for port in _candidates:
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            break
    return found


_candidates = iter(random.sample(range(15_000, 32_000), 10_000))


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
