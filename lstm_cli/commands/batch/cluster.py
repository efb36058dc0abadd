"""A Dask cluster that runs chunks, and a batch in parts, whatever happens to its workers.

A worker that dies (killed, out of memory, taken back) takes down what it was doing: that is done
again, with care, for one sample of it may be what killed it. What was scattered is lost with the
last worker that had it, and is scattered again.

Where workers see the same files as the client, a part tells them where its samples are: ranges of
lines of JSON, or a whole file of another kind. What they do not see goes as text.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import pickle
import pkgutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from lstm_cli.base.errors import ExitCode, LstmStepError, UsageError, safe
from lstm_cli.base.foreign import shell_word
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch import tasks
from lstm_cli.commands.batch.runners import Evaluates
from lstm_cli.commands.batch.tasks import FinishedPart, Folder, Message
from lstm_cli.files.remote import place_of
from lstm_cli.samples.chunks import Origin, key_of
from lstm_cli.samples.columns import InputForm
from lstm_cli.samples.compressed import without_suffix
from lstm_cli.samples.files import all_chunks
from lstm_cli.samples.settings import Tally

if TYPE_CHECKING:
    from lstm_cli.commands.batch.work import ChunkAnswers, Work
    from lstm_cli.samples.chunks import Chunk

LOCAL = "local"
VERSION = "lstm_cli.base.version:__version__"
# Tasks for each thread of the cluster, besides the one it works on: none waits for the client, and
# a task that takes long (its worker died) does not hold up the others.
AHEAD = 3
# How often a task is tried; after the first time, carefully.
ATTEMPTS = 5
# How long a cluster may be without any worker: a machine may start in that time.
WORKERLESS_SECONDS = 60.0
LOOK_SECONDS = 5.0


class ClusterError(LstmStepError):
    """The cluster cannot be reached, or cannot do the work."""

    code = "cluster"
    exit_code = ExitCode.INPUT


class Cluster:
    """Runs chunks on the workers of the Dask scheduler that a client is connected to."""

    def __init__(self, client: Any, address: str) -> None:
        self.client = client
        self.address = address
        self.shared: tuple[bytes, Any] = (b"", None)
        self.threads = (0.0, 0)

    def map(self, work: Evaluates, chunks: Iterable[Chunk]) -> Iterator[ChunkAnswers]:
        """Yield the answer of each chunk, in order."""
        messages = ({"chunk": tasks.pack(chunk)} for chunk in chunks)
        return map(tasks.unpack_answer, self.run("evaluate", work, messages))

    def run(self, task: str, work: Any, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield the result of a task for each message, in order.

        Only so many messages are taken ahead as the cluster can work on.

        Raises:
            ClusterError: no worker is left; a task cannot be done on any.
            LstmStepError: what a worker says of a message.
        """
        with self.answering():
            under_way = _UnderWay(self, task, pickle.dumps(work))
        source = iter(messages)
        try:
            while True:
                group = list(islice(source, self._room(len(under_way.sent))))
                with self.answering():
                    under_way.send(group)
                    if not under_way.sent:
                        return
                    answer = under_way.first()
                yield answer
        finally:
            under_way.cancel()

    def share(self, packed: bytes, lost: Any = None) -> Any:
        """Send the work, weights and all, to every worker: once, or again if it was lost."""
        if self.shared[0] != packed or self.shared[1] is lost:
            self.shared = packed, self.client.scatter(packed, broadcast=True, hash=False)
        return self.shared[1]

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Turn whatever a client raises without scheduler or workers into one error.

        Raises:
            ClusterError: they are.
        """
        try:
            yield
        except LstmStepError:
            raise
        except TimeoutError as error:
            raise self.gone() from error
        except Exception as error:  # a client that has closed fails in many ways
            if isinstance(error, OSError) or self.client.status == "closed":
                raise self.gone(silent=True) from error
            raise

    def threads_by_worker(self) -> dict[str, int]:
        """Number of threads of each worker; empty if the scheduler does not answer."""
        if self.client.status == "closed":
            return {}
        try:
            found: dict[str, int] = self.client.nthreads()
        except OSError:
            return {}
        return found

    def gone(self, silent: bool = False) -> ClusterError:
        """The error of a cluster without workers, or without its scheduler."""
        silent = silent or self.client.status != "running"
        what = f"the cluster has had no worker for {WORKERLESS_SECONDS:.0f} seconds"
        return ClusterError(
            "the scheduler no longer answers" if silent else what,
            where=safe(self.address),
            hint=f"start {'it again' if silent else 'workers'}; what is finished stays",
        )

    def _room(self, running: int) -> int:
        """How many more messages there is room for; 0 until they are worth a call."""
        then, threads = self.threads
        if time.monotonic() - then > LOOK_SECONDS:  # clusters grow and shrink
            threads = max(1, sum(self.threads_by_worker().values()))
            self.threads = time.monotonic(), threads
        room = threads * (1 + AHEAD) - running
        return room if room >= threads or not running else 0


class _UnderWay:
    """Messages of a run that are under way, in order, each with its future."""

    def __init__(self, cluster: Cluster, task: str, packed: bytes) -> None:
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        self.cluster = cluster
        self.task = task
        self.packed = packed
        self.shared = cluster.share(packed)
        self.sent: deque[tuple[Message, Any]] = deque()
        # What a worker's death and what a lost connection or result raise.
        self.killed: type[Exception] = KilledWorker
        self.lost = (CancelledError, CommClosedError)

    def send(self, group: list[Message]) -> None:
        """Send messages on their way."""
        messages = [{**each, "version": __version__} for each in group]
        self.sent += zip(messages, self._futures(messages), strict=True)

    def first(self) -> Message:
        """Wait for the result of the first message; it is sent again where a worker is lost.

        Raises:
            LstmStepError: as `Cluster.run`.
        """
        message, future = self.sent.popleft()
        for _ in range(ATTEMPTS):
            try:
                return self._answer(future)
            except self.killed:
                self._again(self._was_killed, careful=True)
            # What it needs is lost, or the connection, and the other messages share that.
            except self.lost:
                self.cluster.client.wait_for_workers(1, WORKERLESS_SECONDS)
                self.shared = self.cluster.share(self.packed, lost=self.shared)
                self._again(lambda other: other.cancelled())
            (future,) = self._futures([message], careful=True)
        hint = "look at the workers' logs: out of memory, or machines that were reclaimed?"
        what = f"workers died {ATTEMPTS} times over one task"
        raise ClusterError(what, where=safe(self.cluster.address), hint=hint)

    def cancel(self) -> None:
        """Cancel what nobody waits for any more."""
        with contextlib.suppress(ClusterError, CancelledError), self.cluster.answering():
            self.cluster.client.cancel([future for _, future in self.sent], force=True)

    def _futures(self, messages: list[Message], careful: bool = False) -> list[Any]:
        if not messages:
            return []
        repeated = ([each] * len(messages) for each in (self.task, self.shared, careful))
        names, works, cares = repeated
        with warnings.catch_warnings():
            # Samples that no worker can read go as text, whose size we limit.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            futures: list[Any] = self.cluster.client.map(
                tasks.do, names, works, messages, cares, pure=False,
                priority=1 if self.task == "look" else 0,  # many others wait for its result
            )  # fmt: skip
        return futures

    def _again(self, lost: Callable[[Any], bool], careful: bool = False) -> None:
        """Also send again the others that are lost, so that none waits for its turn."""
        numbers = [number for number, (_, future) in enumerate(self.sent) if lost(future)]
        futures = self._futures([self.sent[number][0] for number in numbers], careful)
        for number, future in zip(numbers, futures, strict=True):
            self.sent[number] = self.sent[number][0], future

    def _answer(self, future: Any) -> Message:
        self._wait(future)
        try:
            answer: Message = future.result()
        except (self.killed, *self.lost):
            raise
        except Exception as error:  # whatever a task may raise there
            what = f"a worker failed: {type(error).__name__}: {safe(error)}"[:300]
            hint = "lstm-cli and what it needs must be the same on all workers"
            raise ClusterError(what, where=safe(self.cluster.address), hint=hint) from error
        if "refused" in answer:
            raise tasks.unpack_error(answer["refused"])
        return answer

    def _was_killed(self, future: Any) -> bool:
        return bool(future.status == "error" and isinstance(future.exception(), self.killed))

    def _wait(self, future: Any) -> None:
        """Wait until it is done, or until the cluster has had no worker for too long."""
        from distributed import wait

        alone = 0.0
        while not future.done():
            try:
                wait(future, LOOK_SECONDS)
            except TimeoutError:
                alone = 0.0 if self.cluster.threads_by_worker() else alone + LOOK_SECONDS
                if alone >= WORKERLESS_SECONDS:
                    raise self.cluster.gone() from None


@contextlib.contextmanager
def connected(address: str, jobs: int = 0) -> Iterator[Cluster]:
    """Connect to a cluster while this lasts: by a scheduler's address, or one on this machine.

    Args:
        address: `tcp://host:port`, `tls://host:port`, or `local`.
        jobs: of a local one, how many processes; 0 is one for each core.

    Raises:
        UsageError: distributed is missing, or this is not an address.
        ClusterError: nobody answers there, it has no workers, they have another lstm-cli.
    """
    _check_installed()
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    # Errors are reported by us, once; Dask would show tracebacks.
    with contextlib.ExitStack() as stack:
        for logger in ("distributed", "distributed.client", "distributed.gc"):
            stack.enter_context(silence_logging_cmgr(logging.CRITICAL, logger))
        if address == LOCAL:
            local = stack.enter_context(local_cluster(jobs or os.cpu_count() or 1))
            client = stack.enter_context(Client(local))
        else:
            _check_answers(address)
            client = stack.enter_context(Client(address))
        cluster = Cluster(client, address)
        with cluster.answering():
            _check_workers(client, address)
        yield cluster


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401 - only whether it is there
    except ImportError:
        what, hint = "--dask needs the distributed package", "pip install 'lstm-cli[dask]'"
        raise UsageError(what, where="--dask", hint=hint) from None


@contextlib.contextmanager
def local_cluster(workers: int, allowed_failures: int = 0) -> Iterator[Any]:
    """Start a cluster of processes on this machine, which listens to no other machine.

    A task is not yet suspected of the allowed number of deaths; Dask's own default is 3.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": allowed_failures,
        # A process that died is restarted. After this time Dask would end the new one too, since
        # it looks for it in an outdated list.
        "distributed.deploy.lost-worker-timeout": "10000 days",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1",
            dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
        ) as cluster,
    ):  # fmt: skip
        yield cluster


def _timeout() -> float:
    """Seconds to wait for an answer: Dask's own setting, 30 by default."""
    import dask

    return float(dask.utils.parse_timedelta(dask.config.get("distributed.comm.timeouts.connect")))


def _check_answers(address: str) -> None:
    """Refuse an address where nobody answers: a client would complain for a minute.

    Raises:
        UsageError: it is not an address.
        ClusterError: nobody answers.
    """
    from distributed.comm.core import connect
    from distributed.security import Security

    seconds = _timeout()

    async def ask() -> None:
        arguments = Security().get_connection_args("client")
        comm = await connect(address, timeout=seconds, **arguments)
        await comm.close()

    try:
        asyncio.run(ask())
    except ValueError as error:
        hint = "--dask tcp://host:8786, tls://host:8786, or local"
        what = f"not the address of a scheduler: {safe(error)}"
        raise UsageError(what, where=f"--dask {safe(address)}", hint=hint) from None
    except (OSError, RuntimeError, TypeError) as error:  # nobody there; TLS without certificates
        reason = safe(error).split(": ")[-1] or type(error).__name__
        hint = "is `dask scheduler` running there, and its port open? (docs/cluster.md)"
        what = f"no scheduler answers: {reason}"[:300]
        raise ClusterError(what, where=f"--dask {safe(address)}", hint=hint) from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, or with another lstm-cli than ours.

    Raises:
        ClusterError: with what each worker has.
    """
    seconds = _timeout()
    try:
        client.wait_for_workers(1, seconds)
    except TimeoutError:
        what = f"the scheduler has had no worker for {seconds:.0f} seconds"
        hint = "start some: dask worker " + shell_word(address)
        raise ClusterError(what, where=f"--dask {safe(address)}", hint=hint) from None
    # Asked with a function of the standard library, which is there even without lstm-cli.
    found = client.run(pkgutil.resolve_name, VERSION, on_error="return")
    others = {worker: each for worker, each in found.items() if each != __version__}
    if others:
        worker, version = next(iter(others.items()))
        has = f"lstm-cli {safe(version)}" if isinstance(version, str) else "no lstm-cli"
        hint = f"pip install 'lstm-cli[dask]=={__version__}' on all workers"
        what = f"{len(others)} of {len(found)} workers have another version: {has}"
        raise ClusterError(
            f"{what}, this is {__version__}", where=f"worker {safe(worker)}", hint=hint
        )


# A part is about a second of work: the scheduler is rarely asked, and little is done twice. So many
# chunks fill it, or so much text in its message, or whole files of such a size.
PART_CHUNKS = 16
PART_TEXT_BYTES = 4 * 2**20
PART_FILE_BYTES = 16 * 2**20
PART_FILES = 256


class Unit(NamedTuple):
    """A piece of a part: its message for a worker, the key of its content, its share of a part."""

    message: Message
    key: str
    share: float


@dataclass
class Batch:
    """A batch that is written in parts; to `retry` is to do those with failed samples again."""

    cluster: Cluster
    work: Work
    folder: Folder
    retry: bool = False
    tally: Tally = field(default_factory=Tally)
    reused: int = 0

    def run(self, files: Sequence[str], seen: Callable[[Tally, Sequence[str]], None]) -> Tally:
        """Run what is not finished; return how it went.

        Args:
            files: of samples.
            seen: called after each part, with the tally so far and the messages on that part.

        Raises:
            OutputError: the folder cannot be written, or workers write another one.
            ClusterError: the cluster fails.
        """
        self.folder.begin()
        parts: list[FinishedPart] = []
        for answer in self.cluster.run("make_part", self.work, self._messages(files)):
            part = FinishedPart.read(answer["record"])
            if not parts:
                self.folder.check_seen([part])
            parts.append(part)
            self.tally.add(part.tally)
            self.reused += part.tally.samples if answer["reused"] else 0
            seen(self.tally, answer["notes"])
        self.folder.check_seen(parts)
        self.folder.finish(self.work.settings.digest().hex(), parts)
        return self.tally

    def _messages(self, files: Sequence[str]) -> Iterator[Message]:
        known, run = self.folder.finished(), self.work.settings.digest()
        for number, units in enumerate(parts_of(self._units(files))):
            digest = hashlib.blake2b(run, digest_size=16)
            for unit in units:
                digest.update(unit.key.encode())
            key = digest.hexdigest()
            part = known.get(key)
            again = part is None or (self.retry and part.tally.failed)
            yield {
                "folder": self.folder.name, "root": self.work.settings.root,
                "name": tasks.part_name(number, key), "key": key,
                "known": None if again or part is None else part.as_dict(),
                "units": [unit.message for unit in units],
            }  # fmt: skip

    def _units(self, files: Sequence[str]) -> Iterator[Unit]:
        asked = [self._question(file) for file in files]
        ours = (each for each in asked if each is not None)
        answers = self.cluster.run("look", self.work, ours)
        for file, question in zip(files, asked, strict=True):
            found = {} if question is None else next(answers)
            yield from _units_of(file, question, found, self.work.settings.reading)

    def _question(self, file: str) -> Message | None:
        """Question for workers about a file; None if only this process can read it."""
        if file == "-":
            return None
        try:
            path = place_of(file)
            origin = Origin(str(path), without_suffix(path).stem, path.parent)
            return {"file": file, "size": tasks.size_of(path), "origin": tasks.pack_origin(origin)}
        except (OSError, LstmStepError):
            return None  # reading it says why


def _units_of(
    file: str, question: Message | None, found: Message, reading: InputForm
) -> Iterator[Unit]:
    if question is not None and "ranges" in found:
        for each in found["ranges"]:
            told = {"file": file, "origin": question["origin"], "range": each}
            yield Unit(told, each[-1], 1 / PART_CHUNKS)
    elif question is not None and "digest" in found:
        key = f"{file}:{found['digest']}"
        share = max(1 / PART_FILES, question["size"] / PART_FILE_BYTES)
        yield Unit({"file": file, "digest": found["digest"]}, key, share)
    else:
        for chunk in all_chunks([file], reading=reading):
            told = {"chunk": tasks.pack(chunk)}
            share = max(1 / PART_CHUNKS, len(told["chunk"]["text"]) / PART_TEXT_BYTES)
            yield Unit(told, key_of(chunk, b""), share)


def parts_of(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Yield the units of each part, in order."""
    part: list[Unit] = []
    for unit in units:
        part.append(unit)
        if sum(each.share for each in part) >= 1:
            yield part
            part = []
    if part:
        yield part
