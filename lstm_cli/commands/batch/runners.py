"""Runners of a batch's chunks: this process, or several on this machine.

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
from multiprocessing import connection, get_context, parent_process
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from lstm_cli.base.errors import ignore_warnings

if TYPE_CHECKING:
    from lstm_cli.commands.batch.work import ChunkAnswers
    from lstm_cli.samples.chunks import Chunk

Evaluates: TypeAlias = "Callable[[Chunk], ChunkAnswers]"

# Chunks queued for each process besides the one it works on, so that it never waits.
AHEAD = 2
# How often a process that was let go checks whether the rest of its answer is still wanted.
LOOK_SECONDS = 0.1


class ChunkRunner(Protocol):
    """Maps a function over chunks."""

    def map(self, work: Evaluates, chunks: Iterable[Chunk]) -> Iterator[ChunkAnswers]:
        """Yield the answer of each chunk, in order."""
        ...


class Serial:
    """Runs them here, one after the other."""

    def map(self, work: Evaluates, chunks: Iterable[Chunk]) -> Iterator[ChunkAnswers]:
        """Yield the answer of each chunk."""
        return map(work, chunks)


class Processes:
    """Runs them in processes of this machine.

    Where a process dies (killed, out of memory, a crash), the chunks that were under way are run
    again one at a time, and one that brings its process down again is halved until the sample
    is found that does it: it alone is answered with an error. Where none can even be started,
    that is an error of the whole batch.

    `notes` is whether the error of a lost sample comes with a message for stderr.
    """

    def __init__(self, jobs: int, *, notes: bool = False) -> None:
        self.jobs = jobs
        self.notes = notes

    def map(self, work: Evaluates, chunks: Iterable[Chunk]) -> Iterator[ChunkAnswers]:
        """Yield the answer of each chunk, in order."""
        packed, source = pickle.dumps(work), iter(chunks)
        pool = _Pool(packed, self.jobs)
        running: deque[tuple[Chunk, Future[ChunkAnswers]]] = deque()
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
                    pool.let_go()
                    self._check_start(packed)
                    # Chunks that were done before it broke keep their answers.
                    yield self._carefully(packed, chunk)
                    while running:
                        chunk, future = running.popleft()
                        done = future.done() and future.exception() is None
                        yield future.result() if done else self._carefully(packed, chunk)
                    pool = _Pool(packed, self.jobs)
                else:
                    yield answer
        finally:
            pool.let_go()

    def _check_start(self, packed: bytes) -> None:
        """Check that a process survives its start: if not, no sample is to blame.

        Raises:
            WorkerError: it does not.
        """
        from lstm_cli.commands.batch.work import WorkerError

        pool = _Pool(packed, 1)
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool:
            raise WorkerError(
                "no process can be started: each dies before its first sample",
                where="--jobs",
                hint="leave --jobs out, or see what each says above; a script that calls us needs "
                "`if __name__ == '__main__':`",
            ) from None
        finally:
            pool.let_go()

    def _carefully(self, packed: bytes, chunk: Chunk) -> ChunkAnswers:
        """Answer a chunk that may bring its process down."""
        from lstm_cli.commands.batch.work import WorkerError, joined, lost

        pool = _Pool(packed, 1)
        try:
            return _submit(pool, chunk).result()
        except BrokenProcessPool:
            if len(chunk) > 1:
                half = len(chunk) // 2
                parts = range(half), range(half, len(chunk))
                return joined([self._carefully(packed, chunk.take(list(p))) for p in parts])
            hint = "run it alone, with fewer steps; it may have asked for too much memory"
            what = "the process that ran this sample died"
            error = WorkerError(what, where=chunk.place(0), hint=hint)
            return lost(chunk, error, self.notes)
        finally:
            pool.let_go()


class _Pool(ProcessPoolExecutor):
    """Processes that do not outlive the one that wants their answers.

    Each holds an end of a pipe whose other end is ours alone, and which the system closes when this
    process ends, however that comes about.
    """

    def __init__(self, packed: bytes, jobs: int) -> None:
        # Spawned, not forked: a fork copies the locks of whatever threads there are, and this pipe.
        context = get_context("spawn")
        theirs, self._ours = context.Pipe(duplex=False)
        super().__init__(jobs, context, _start, (packed, theirs))

    def let_go(self) -> None:
        """End the processes, without waiting for chunks whose answers nobody wants any more."""
        self.shutdown(wait=False, cancel_futures=True)
        self._ours.close()


def _submit(pool: ProcessPoolExecutor, chunk: Chunk) -> Future[ChunkAnswers]:
    try:
        return pool.submit(_run, chunk)
    except BrokenProcessPool as error:  # it broke between two chunks
        broken: Future[ChunkAnswers] = Future()
        broken.set_exception(error)
        return broken


_work: Callable[[Any], Any]
# Held except while a chunk is being worked on: a process that ended in the middle of an answer
# would leave our side waiting for the rest of it.
_between_chunks = Lock()


def _start(packed: bytes, pipe: connection.Connection) -> None:
    """Set up a process: one BLAS thread, chosen before numpy is imported, and the function."""
    global _work
    _between_chunks.acquire()
    Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that wrote the answers
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    ignore_warnings()
    _work = pickle.loads(packed)  # ours, handed over by the process that started this one


def _run(chunk: Any) -> Any:
    _between_chunks.release()
    try:
        return _work(chunk)
    finally:
        _between_chunks.acquire()


def _end_with_parent(pipe: connection.Connection) -> None:
    """End this process once the other end of a pipe is closed."""
    connection.wait([pipe])  # nothing is ever sent
    parent = parent_process()
    while parent is not None and parent.is_alive():
        if _between_chunks.acquire(timeout=LOOK_SECONDS):
            break
    os._exit(1)  # no thread but the main one can end it otherwise
