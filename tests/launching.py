"""Programs under torchrun."""

import socket
import subprocess
import sys


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def two_workers(*command: str) -> None:
    """A program and its arguments under torchrun, with two processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    done = subprocess.run([*launch, *command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
