"""Training by workers of Ray Train, which starts them anew where one is lost; each does what `train_run` does."""

import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccf_llm.distributed.cluster import LOST, check_cores, connected, work_in
from ccf_llm.errors import CCFError, one_line
from ccf_llm.experiments.config import RunConfig, check_config
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.io.progress import Say
from ccf_llm.llm.runtime import available_cpus
from ccf_llm.training.processes import PATIENCE, ProcessLost

if TYPE_CHECKING:  # of all processes only those that train load what it takes
    from ccf_llm.training.loop import Report

RESTARTS = 3
"""How often the workers are started anew because one was lost, or could not be started."""


def train_on_ray(
    config: RunConfig,
    *,
    workers: int,
    address: str | None = None,
    only: str | None = None,
    say: Say = print,
    report: "Report | None" = None,
) -> RunFolder:
    """Train a run by several workers together; see `train_run`.

    All machines of the cluster share the folder in which this process runs, and that of the run: workers that are
    started anew go on from the checkpoints in it.

    Args:
        config: the run.
        workers: how many. Each has a GPU where the cluster has some, unless `llm.device` is cpu, and its part of the
            cores.
        address: of the cluster; see `connected`.
        only: one method of the configuration.
        say, report: get what the first worker tells.

    Raises:
        CCFError: what a worker cannot do; no cluster at the address, too little of it, or one that loses its workers.
    """
    with connected(address, cpus=max(workers, available_cpus())):
        import ray

        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        told = ray.remote(num_cpus=0, label_selector=here)(_Told).remote()
        job = {"folder": str(Path.cwd()), "config": config.model_dump(mode="json"), "only": only, "told": told}
        fit = _Fit(_trainer(config, workers, job))
        fit.start()
        try:
            at_it = True
            while at_it:
                time.sleep(0.5)
                at_it = fit.is_alive()
                for what, *words in ray.get(told.take.remote()):
                    if what == "say":
                        say(*words)
                    elif report is not None:
                        report(*words)
            failure = ray.get(told.failure.remote())
        except ray.exceptions.RayError as error:
            raise CCFError(LOST.format(reason=one_line(error))) from None
        if failure is not None:
            raise CCFError(failure)
        if fit.error is not None:
            raise CCFError(f"Ray gave up, after {RESTARTS} new starts at most: {one_line(fit.error)}") from fit.error
    shutil.rmtree(config.output / "ray", ignore_errors=True)
    return RunFolder(config.output)


class _Told:
    """An actor beside this process: what the workers have told, and what one of them could not do."""

    def __init__(self) -> None:
        self._told: list[tuple[Any, ...]] = []
        self._failure: str | None = None

    def tell(self, *words: Any) -> None:
        self._told.append(words)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self._told = self._told, []
        return taken

    def fail(self, line: str) -> None:
        self._failure = self._failure or line

    def failure(self) -> str | None:
        return self._failure


class _Fit(threading.Thread):
    """Ray's trainer beside the main thread, whose signals it would take."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(name="ray-train", daemon=True)
        self._trainer = trainer
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:
            self.error = error


def _trainer(config: RunConfig, workers: int, job: dict[str, Any]) -> Any:
    import ray
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as Storage
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = 0 if config.llm.device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    if 0 < gpus < workers:
        raise CCFError(f"{workers} workers: the Ray cluster has {gpus} GPUs; ask for so many, or llm.device=cpu")
    resources = {"CPU": _cores(workers)} | ({"GPU": 1} if gpus else {})
    return TorchTrainer(
        _work,
        train_loop_config=job,
        torch_config=TorchConfig("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout_s=int(PATIENCE.total_seconds())),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources),
        run_config=Storage(
            name="train",
            storage_path=str(config.output.absolute() / "ray"),
            failure_config=FailureConfig(max_failures=RESTARTS, controller_failure_limit=RESTARTS),
        ),
    )


def _cores(workers: int) -> int:
    """The most cores that each worker can have; a `CCFError` where there is not one for each."""
    import ray

    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    check_cores(workers, sum(nodes))
    return max(cores for cores in range(1, max(nodes) + 1) if sum(node // cores for node in nodes) >= workers)


def _work(job: dict[str, Any]) -> None:
    """What each worker does."""
    import ray

    from ccf_llm.experiments.train import train_run

    told = job["told"]
    if ray.get(told.failure.remote()) is not None:  # Ray starts anew whatever ended; this would end so again
        return
    try:
        work_in(job["folder"])
        train_run(
            check_config(job["config"], "configuration"),
            only=job["only"],
            say=lambda line: told.tell.remote("say", line),
            report=lambda *words: told.tell.remote("report", *words),
        )
        ray.get(told.failure.remote())  # after all that was told before
    except ProcessLost:
        raise
    except CCFError as error:
        ray.get(told.fail.remote(str(error)))
        raise
