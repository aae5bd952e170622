"""How a share reaches processors: Prefect's task runners, over threads, Dask or Ray.

A task run is a batch, never an item. It is given a small request and claims inside, so it may run
in any process that has Autochrome and its settings: the ledger is what they share.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.batch.recipe import recipe_in_service
from tasks.batch.worker import open_worker
from tasks.errors import UsageError
from tasks.ledger.opening import open_ledger
from tasks.orders.batches import BatchRequest, working_with
from tasks.orders.dispatch import IN_FLIGHT, Fanout, Future
from tasks.prefect_tasks import colorize_batch
from tasks.scratch import scratch_folder
from tasks.settings import Settings

logger = logging.getLogger(__name__)

#: Where a cluster's size is not set: batches in flight, a few more than a small one has workers.
_IN_FLIGHT_ON_CLUSTER = 8

#: A scheduler that has not answered by then is not there.
CONNECT_S = 15.0

#: How often a cluster of our own is started, where the machine is busy.
_RAY_STARTS = 3

#: Ray would take a third of the memory; requests and summaries are small.
_OBJECT_STORE_BYTES = 100 << 20

#: Where a cluster of our own has its sockets, whose paths may have 107 characters, and its logs,
#: which Ray leaves behind for ever.
_RAY_BESIDE = Path("/tmp")  # noqa: S108 - a folder of its own is made there, and removed

#: Where memory is short Ray kills its processes, and would begin their batches again for ever; so
#: it does with those that a busy machine has not started within a minute. It would tell its makers
#: of its use.
_RAY_DEFAULTS = {
    "RAY_task_oom_retries": "3",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def open_fanout(settings: Settings, stop: threading.Event) -> Iterator[Fanout]:
    """Open the task runner that the settings name, for the current flow run.

    Threads work on what this process opens; on a cluster, this process opens no network and no
    device: each of the cluster's opens its own.

    Raises:
        UsageError: It is not installed, or no cluster answers.
        AutochromeError: Database, output, checkpoint or device cannot be used.
    """
    with ExitStack() as opened:
        if settings.task_runner == "threads":
            worker = opened.enter_context(open_worker(settings, stop=stop))
            opened.enter_context(working_with(worker))
            recipe_id, digest = worker.recipe_id, worker.recipe_digest
            runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=IN_FLIGHT)
            window = IN_FLIGHT
        else:
            with open_ledger(settings) as ledger:
                recipe = recipe_in_service(settings, ledger)
                recipe_id, digest = ledger.ensure_recipe(recipe), recipe.digest
            runner = opened.enter_context(_on_cluster(settings))
            window = settings.batches_in_flight or _IN_FLIGHT_ON_CLUSTER
        submit = partial(_submit, opened.enter_context(runner))
        yield Fanout(submit, window, recipe_id, digest, stop)


def _submit(runner: TaskRunner[Any], request: BatchRequest) -> Future:
    future: Future = runner.submit(colorize_batch, {"request": request})
    return future


@contextmanager
def _on_cluster(settings: Settings) -> Iterator[TaskRunner[Any]]:
    opened = _dask(settings) if settings.task_runner == "dask" else _ray(settings)
    with opened as runner:
        yield runner


@contextmanager
def _dask(settings: Settings) -> Iterator[TaskRunner[Any]]:
    try:
        import dask  # noqa: PLC0415 - an extra
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_installed("dask") from error
    if settings.task_runner_address:
        runner = DaskTaskRunner(
            address=settings.task_runner_address, client_kwargs={"timeout": CONNECT_S}
        )
        try:
            workers = runner.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {settings.task_runner_address}: {error}; start it "
                "with `dask scheduler`, or set AUTOCHROME_TASK_RUNNER_ADDRESS to where it is"
            ) from error
        if not workers:
            raise UsageError(
                f"nobody works in the cluster at {settings.task_runner_address}; start workers "
                f"with `dask worker {settings.task_runner_address} --no-nanny --nthreads 1`"
            )
        yield runner
        return
    processes = settings.batches_in_flight or 1
    ours = {
        # Its workers work on pixels in processes of their own, which daemons may not start.
        "distributed.worker.daemon": False,
        # Prefect ends a run by a signal to its group; these give back what they hold when they hear
        # that their share has ended.
        "distributed.worker.preload": ["import os; os.setpgid(0, 0)"],
    }
    with dask.config.set(ours):
        yield DaskTaskRunner(
            cluster_kwargs={
                "n_workers": processes,
                "threads_per_worker": 1,
                "dashboard_address": None,
            }
        )


@contextmanager
def _ray(settings: Settings) -> Iterator[TaskRunner[Any]]:
    for name, value in _RAY_DEFAULTS.items():
        os.environ.setdefault(name, value)  # read when it is imported
    try:
        import ray  # noqa: PLC0415 - an extra
        from prefect_ray.context import remote_options  # noqa: PLC0415 - an extra
        from prefect_ray.task_runners import RayTaskRunner  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _not_installed("ray") from error
    with ExitStack() as opened:
        if settings.device != "cpu":  # a process of Ray's sees no GPU that it did not ask for
            opened.enter_context(remote_options(num_gpus=1))
        if settings.task_runner_address:
            yield RayTaskRunner(address=settings.task_runner_address)
            return
        beside = settings.model_copy(update={"scratch": _RAY_BESIDE})
        _start_ray(settings, opened.enter_context(scratch_folder(beside)))
        opened.callback(ray.shutdown)
        yield RayTaskRunner()


def _start_ray(settings: Settings, folder: Path) -> None:
    """Start a cluster on this machine; a busy one may not have it within Ray's 30 seconds."""
    import ray  # noqa: PLC0415 - an extra

    for left in reversed(range(_RAY_STARTS)):
        try:
            with _deaf_children():
                ray.init(
                    namespace="prefect",
                    num_cpus=settings.batches_in_flight or 1,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
        except Exception as error:  # Ray raises no other
            if not left or "timed out" not in str(error):
                raise
            logger.warning("Ray has not started in time, and is started again: %s", error)
        else:
            return


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let what is started in the block hear no SIGTERM, with which Prefect ends a run's group."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _not_installed(name: str) -> UsageError:
    return UsageError(
        f"AUTOCHROME_TASK_RUNNER is {name}, which is not installed: `pip install "
        f"'autochrome[{name}]'`, or set it to threads"
    )
