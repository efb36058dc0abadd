"""Connections to a cluster that can do the work, or the reason why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pkgutil
from collections.abc import Iterator
from typing import Any

from lstm_cli.base.errors import UsageError, safe
from lstm_cli.base.foreign import shell_word
from lstm_cli.base.version import __version__
from lstm_cli.commands.batch.cluster.runner import Cluster, ClusterError

LOCAL = "local"
VERSION = "lstm_cli.base.version:__version__"


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
        raise UsageError(
            "--dask needs the distributed package",
            where="--dask",
            hint="pip install 'lstm-cli[dask]'",
        ) from None


@contextlib.contextmanager
def local_cluster(workers: int, allowed_failures: int = 0) -> Iterator[Any]:
    """Start a cluster of processes on this machine, which listens to no other machine.

    Args:
        workers: how many processes.
        allowed_failures: of how many deaths a task is not yet suspected; Dask's own default is 3.
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
        raise UsageError(
            f"not the address of a scheduler: {safe(error)}",
            where=f"--dask {safe(address)}",
            hint="--dask tcp://host:8786, tls://host:8786, or local",
        ) from None
    except (OSError, RuntimeError, TypeError) as error:  # nobody there; TLS without certificates
        reason = safe(error).split(": ")[-1] or type(error).__name__
        raise ClusterError(
            f"no scheduler answers: {reason}"[:300],
            where=f"--dask {safe(address)}",
            hint="is `dask scheduler` running there, and its port open? (docs/cluster.md)",
        ) from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, or with another lstm-cli than ours.

    Raises:
        ClusterError: with what each worker has.
    """
    seconds = _timeout()
    try:
        client.wait_for_workers(1, seconds)
    except TimeoutError:
        raise ClusterError(
            f"the scheduler has had no worker for {seconds:.0f} seconds",
            where=f"--dask {safe(address)}",
            hint="start some: dask worker " + shell_word(address),
        ) from None
    # Asked with a function of the standard library, which is there even without lstm-cli.
    found = client.run(pkgutil.resolve_name, VERSION, on_error="return")
    others = {worker: each for worker, each in found.items() if each != __version__}
    if others:
        worker, version = next(iter(others.items()))
        has = f"lstm-cli {safe(version)}" if isinstance(version, str) else "no lstm-cli"
        raise ClusterError(
            f"{len(others)} of {len(found)} workers have another version: {has}, "
            f"this is {__version__}",
            where=f"worker {safe(worker)}",
            hint=f"pip install 'lstm-cli[dask]=={__version__}' on all workers",
        )
