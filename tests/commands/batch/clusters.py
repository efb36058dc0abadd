"""What kills the workers of a real cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lstm_cli.commands.batch.work import ChunkAnswers, Work
from lstm_cli.samples.chunks import Chunk
from lstm_cli.samples.settings import SampleSettings


def pids(cluster: Any) -> list[int]:
    """Return the processes of the workers."""
    return [each.process.pid for each in cluster.workers.values() if each.process is not None]


class Killer(threading.Thread):
    """Kills workers, once, as soon as something holds."""

    def __init__(self, cluster: Any, ready: Callable[[], bool], count: int = 1) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.ready = ready
        self.count = count
        self.killed: list[int] = []
        self.given_up = False

    def run(self) -> None:
        while not self.given_up:
            if self.ready():
                for pid in pids(self.cluster)[: self.count]:
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)
                return
            time.sleep(0.005)

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.given_up = True
        self.join()


@dataclass(frozen=True)
class Deadly:
    """Work whose process dies at a sample called poison."""

    work: Work
    notes: bool = False

    @property
    def settings(self) -> SampleSettings:
        return self.work.settings

    def __call__(self, chunk: Chunk) -> ChunkAnswers:
        if any("poison" in chunk.read(p).id.text for p in range(len(chunk))):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(chunk)
