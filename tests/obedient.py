"""Processes that stand where a worker's would: they do what a test tells them, and import nothing heavy."""

import os
import signal
import time
from multiprocessing.connection import Connection


def busy(pipe: Connection) -> None:
    """Says its number and hears nothing more."""
    from ornstein.studio.worker import end_with_parent

    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)


def obedient(pipe: Connection) -> None:
    """Answers, fails, dies, or says nothing, as it is told."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            task, values = pipe.recv()
        except EOFError:
            return
        if task == "echo":
            pipe.send(("news", "progress", {"half": True}))
            pipe.send(("answer", values))
        elif task in ("refused", "failed"):
            pipe.send((task, values["words"]))
        elif task == "die":
            os.kill(os.getpid(), values["signal"])
        elif task == "leave":
            os._exit(values["code"])
        elif task == "sleep":
            time.sleep(60)
