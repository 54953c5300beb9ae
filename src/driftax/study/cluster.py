"""Chunks are computed by the workers of a dask cluster; only the client stores anything."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any, NoReturn

from driftax._errors import DriftaxError
from driftax.compare.weak_error import RungStudy
from driftax.simulate.ensemble import LeafStatistics
from driftax.study.chunks import Chunk
from driftax.study.executors import AbstractExecutor, Done
from driftax.study.recipe import Recipe
from driftax.study.worker import compute, rounding

ADDRESS = "DRIFTAX_SCHEDULER"  # the environment variable of the scheduler's address
_ANSWER_SECONDS = 30
_AHEAD = 2  # chunks per thread that are handed out before they are needed
_RETRIES = 2  # of a chunk that raised something; a worker's death has a count of its own
_DEVICES = "--xla_force_host_platform_device_count"

Tell = Callable[[str], None]


class DaskExecutor(AbstractExecutor):
    """Computes on the workers of a cluster.

    Args:
        client: connected to the cluster's scheduler.
        recipe: of the study.
        tell: is given one line for the user where something is worth saying.
    """

    together = 1
    words = "dask"

    def __init__(self, client: Any, recipe: Recipe, tell: Tell):
        self._client, self._recipe, self._tell = client, recipe, tell
        self._workers: set[str] = set()
        self._most = 0  # workers at one time
        self.arithmetic = self._common_arithmetic()
        self._identity = recipe.identity(self.arithmetic)

    def run(self, studies: Sequence[RungStudy], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Computes chunks as workers become free; a chunk whose worker dies goes to another one."""
        rest = iter(chunks)
        running: dict[Any, Chunk] = {}
        try:
            while True:
                with _scheduler_there():
                    for chunk in islice(rest, max(0, _AHEAD * self._threads() - len(running))):
                        future = self._client.submit(
                            compute, self._recipe, self._identity, chunk, pure=False, retries=_RETRIES
                        )
                        running[future] = chunk
                    if not running:
                        return
                    finished = self._finished(running)
                for future in finished:
                    chunk = running.pop(future)
                    yield Done(chunk, self._result(future, chunk))
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(running))

    def _finished(self, running: dict[Any, Chunk]) -> list[Any]:
        """Some that are finished; none where nothing happens for a while."""
        from distributed import TimeoutError, wait

        try:
            return list(wait(list(running), timeout=_ANSWER_SECONDS, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []

    def _threads(self) -> int:
        """The threads of the workers there are now; says which are gone."""
        threads = self._client.nthreads()
        for address in self._workers - set(threads):
            self._tell(f"the worker {address} is gone: what it had is computed again by others")
        if not threads and self._workers:
            self._tell("no worker is left: waiting for one")
        self._workers = set(threads)
        self._most = max(self._most, len(threads))
        self.words = f"dask, {self._most} workers"
        return max(1, sum(threads.values()))

    def _result(self, future: Any, chunk: Chunk) -> LeafStatistics:
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as killed:
            deaths = killed.allowed_failures + 1
            raise DriftaxError(
                f"the chunk {chunk.name} on the cluster",
                f"{deaths} workers died one after the other while they computed it; the last: {killed.last_worker}",
                "workers with more memory (their logs say why they died), then the same command: it goes on from there",
            ) from None
        except CancelledError as error:
            _refuse_scheduler(error)
        except (
            ImportError,
            RuntimeError,
            OSError,
        ) as error:  # no driftax there, or its device or disk failed
            _refuse_worker(error)

    def _common_arithmetic(self) -> str:
        """What rounds on the workers, which must be of one kind."""
        if not self._client.nthreads():
            self._tell("waiting for the first worker")
        self._client.wait_for_workers(1)
        with _scheduler_there():
            try:
                kinds = sorted(set(self._client.run(rounding).values()))
            except Exception as error:  # dask hands on the text of a worker's error, not its type
                if isinstance(error, OSError):
                    raise
                _refuse_worker(error)
        if len(kinds) > 1:
            raise DriftaxError(
                "--executor dask, the same bits from all workers",
                f"workers of several kinds: {'; '.join(kinds)}",
                "workers of one kind, or XLA_FLAGS=--xla_cpu_max_isa=AVX2 in the environment of all",
            )
        return kinds[0]


@contextlib.contextmanager
def dask_executor(
    recipe: Recipe, scheduler: str | None, workers: int | None, tell: Tell
) -> Iterator[DaskExecutor]:
    """An executor on a cluster that is there, or on one of this machine that lives as long as the context.

    Args:
        recipe: of the study.
        scheduler: address; left out, the variable `DRIFTAX_SCHEDULER`, or a cluster on this machine.
        workers: processes of a cluster on this machine; left out, one per core.
        tell: is given one line for the user where something is worth saying.

    Raises:
        DriftaxError: if dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise DriftaxError(
            "--executor dask", "dask is not installed", "pip install 'driftax[dask]'"
        ) from None
    address = scheduler or os.environ.get(ADDRESS)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silenced("distributed.client"))
        if address is None:
            address = stack.enter_context(_local_cluster(workers))
        try:
            client = stack.enter_context(Client(address, timeout=_ANSWER_SECONDS))
        except (OSError, ValueError) as error:
            _refuse_address(address, error)
        yield DaskExecutor(client, recipe, tell)


def _local_cluster(workers: int | None) -> Any:
    """Processes of one thread and one device each."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(_DEVICES)]
    return LocalCluster(
        n_workers=workers or CPU_COUNT,
        threads_per_worker=1,
        dashboard_address=None,
        memory_limit=0,  # what JAX takes is not dask's to count
        silence_logs=logging.CRITICAL,  # a death is told by the executor, in one line
        env={"XLA_FLAGS": " ".join([*flags, f"{_DEVICES}=1"]), "JAX_ENABLE_X64": "true"},
    )


@contextlib.contextmanager
def _scheduler_there() -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError) as error:
        _refuse_scheduler(error)


@contextlib.contextmanager
def _silenced(name: str) -> Iterator[None]:
    """Without what a logger writes below CRITICAL: what matters of it is told in one line."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _refuse_scheduler(error: Exception) -> NoReturn:
    raise DriftaxError(
        "chunks on the cluster",
        f"its scheduler is gone ({type(error).__name__})",
        "a new scheduler and the same command: it goes on from the chunks that are stored",
    ) from error


def _refuse_worker(error: Exception) -> NoReturn:
    raise DriftaxError(
        "chunks on the workers of the cluster",
        f"one that cannot compute them: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
        "the same environment on every worker, then the same command: it goes on from there",
    ) from None


def _refuse_address(address: Any, error: Exception) -> NoReturn:
    raise DriftaxError(
        f"the scheduler {address}",
        f"none answers there: {' '.join(str(error).split())[:160]}",
        "the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786; or no --scheduler, for a cluster "
        "on this machine",
    ) from None
