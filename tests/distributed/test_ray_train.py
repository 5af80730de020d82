"""Training by workers of a real Ray: that of one process, whoever is killed on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccf_llm.distributed import train
from ccf_llm.distributed.cluster import connected
from ccf_llm.distributed.train import train_on_ray
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import check_config
from ccf_llm.experiments.train import train_run
from ccf_llm.training.checkpoint import Progress
from same_run import assert_same_run, rating_run

# Ray warns of itself.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SILENT = lambda line: None  # noqa: E731


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    """One Ray for all of them."""
    pytest.importorskip("ray")
    with connected("local", cpus=2):
        yield


def workers() -> list[int]:
    """Process ids of those that train, of this process's Ray."""
    parents: dict[int, int] = {}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if title.startswith("ray::RayTrainWorker"):
            found.append(int(folder.name))

    def mine(process: int) -> bool:
        return process == os.getpid() or (process in parents and mine(parents[process]))

    return sorted(process for process in found if mine(process))


def test_a_killed_worker_is_replaced_and_the_run_ends_as_that_of_one_process(tiny_llm: Path, tmp_path: Path) -> None:
    values = rating_run(tiny_llm, tmp_path)
    killed: list[int] = []
    stages: list[str] = []

    def report(stage: str, word: str, progress: Progress, steps: int) -> None:
        stages.append(stage)
        if not killed:
            killed.append(workers()[-1])
            os.kill(killed[0], signal.SIGKILL)
            assert not (tmp_path / "several" / "models").exists()

    config = check_config(values | {"output": str(tmp_path / "several")}, "run.yaml")
    train_on_ray(config, workers=2, say=SILENT, report=report)
    assert killed
    assert list(dict.fromkeys(stages)) == ["llm_text / text", "ccf_llm / fusion", "ccf_llm / all"]
    assert_same_run(train_run(check_config(values, "run.yaml"), say=SILENT).path, config.output)
    assert not (tmp_path / "several" / "ray").exists()


def test_what_a_worker_cannot_do_is_told_once(tiny_llm: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    values = rating_run(tiny_llm, tmp_path)
    values["llm"]["layers"] = 9
    config = check_config(values, "run.yaml").model_dump(mode="json")
    told = ray.remote(num_cpus=0)(train._Told).remote()
    job = {"folder": str(Path.cwd()), "config": config, "only": None, "told": told}
    with pytest.raises(CCFError, match=r"llm\.layers: 9"):
        train._work(job)
    assert "has 2 layers; give at most 2" in ray.get(told.failure.remote())
    train._work(job)  # started anew, it ends at once
    lost = ray.remote(num_cpus=0)(train._Told).remote()
    with pytest.raises(CCFError, match=r"^/nowhere: not on every machine of the cluster; work in a shared folder$"):
        train._work(job | {"folder": "/nowhere", "told": lost})


def test_more_workers_than_cores_are_refused(tiny_llm: Path, tmp_path: Path) -> None:
    config = check_config(rating_run(tiny_llm, tmp_path), "run.yaml")
    with pytest.raises(CCFError, match=r"^3 workers: the Ray cluster counts 2 cores; ask for at most so many$"):
        train_on_ray(config, workers=3)
