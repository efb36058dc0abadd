"""Who runs the chunks of a batch: this process, or several of this machine.

A runner maps one function over chunks and hands back what it returns, in the order of the chunks,
taking only as many chunks ahead as it can work on: memory does not grow with the batch. The
function is the same for each of them, and so is what comes out.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lstm_cli.batch import Answer
    from lstm_cli.samples import Chunk

# Chunks handed to each process beside the one it works on, so that it never waits.
AHEAD = 2


class Runner(Protocol):
    """Maps a function over chunks."""

    def map(self, work: Callable[[Chunk], Answer], chunks: Iterable[Chunk]) -> Iterator[Answer]:
        """Yield the answer of each chunk, in order."""
        ...


class Serial:
    """Runs them here, one after the other."""

    def map(self, work: Callable[[Chunk], Answer], chunks: Iterable[Chunk]) -> Iterator[Answer]:
        """Yield the answer of each chunk."""
        return map(work, chunks)


class Processes:
    """Runs them in processes of this machine.

    Where a process dies (killed, out of memory, a crash), the chunks that were under way are run
    again one at a time, and one that brings its process down again is halved until the sample
    is found that does it: it alone is answered with an error. Where none can even be started,
    that is an error of the whole batch.

    Args:
        jobs: how many processes.
        notes: whether the error of a lost sample comes with what is said on stderr.
    """

    def __init__(self, jobs: int, *, notes: bool = False) -> None:
        self.jobs = jobs
        self.notes = notes

    def map(self, work: Callable[[Chunk], Answer], chunks: Iterable[Chunk]) -> Iterator[Answer]:
        """Yield the answer of each chunk, in order."""
        packed, source = pickle.dumps(work), iter(chunks)
        pool = self._pool(packed, self.jobs)
        running: deque[tuple[Chunk, Future[Answer]]] = deque()
        try:
            while True:
                while len(running) < self.jobs * (1 + AHEAD):
                    chunk = next(source, None)
                    if chunk is None:
                        break
                    running.append((chunk, _submit(pool, chunk)))
                if not running:
                    return
                chunk, future = running.popleft()
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False, cancel_futures=True)
                    self._check_start(packed)
                    # Those that were done before it broke keep their answers.
                    yield self._carefully(packed, chunk)
                    while running:
                        chunk, future = running.popleft()
                        done = future.done() and future.exception() is None
                        yield future.result() if done else self._carefully(packed, chunk)
                    pool = self._pool(packed, self.jobs)
                else:
                    yield answer
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _pool(self, packed: bytes, jobs: int) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork copies the locks of whatever threads there are.
        return ProcessPoolExecutor(jobs, get_context("spawn"), _start, (packed,))

    def _check_start(self, packed: bytes) -> None:
        """See that a process lives until it has work: else no sample is what it dies of.

        Raises:
            WorkerError: it does not.
        """
        from lstm_cli.batch import WorkerError

        pool = self._pool(packed, 1)
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise WorkerError(
                "no process can be started: each dies before its first sample",
                where="--jobs",
                hint="leave --jobs away, or see what each says above; a script that calls us needs "
                "`if __name__ == '__main__':`",
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _carefully(self, packed: bytes, chunk: Chunk) -> Answer:
        """Return the answer of a chunk that may bring its process down."""
        from lstm_cli.batch import WorkerError, joined, lost

        pool = self._pool(packed, 1)
        try:
            return _submit(pool, chunk).result()
        except BrokenProcessPool:
            if len(chunk) > 1:
                half = len(chunk) // 2
                parts = range(half), range(half, len(chunk))
                return joined([self._carefully(packed, chunk.take(list(p))) for p in parts])
            error = WorkerError(
                "the process that ran this sample died",
                where=chunk.place(0),
                hint="run it alone, with fewer steps; it may have asked for too much memory",
            )
            return lost(chunk, error, self.notes)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, chunk: Chunk) -> Future[Answer]:
    try:
        return pool.submit(_run, chunk)
    except BrokenProcessPool as error:  # it broke between two chunks
        broken: Future[Answer] = Future()
        broken.set_exception(error)
        return broken


_work: Callable[[Any], Any]


def _start(packed: bytes) -> None:
    """Make a process ready: one thread of BLAS, set before numpy is there, and the function."""
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that wrote the answers
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    _work = pickle.loads(packed)  # ours, handed over by the process that started this one


def _run(chunk: Any) -> Any:
    return _work(chunk)
