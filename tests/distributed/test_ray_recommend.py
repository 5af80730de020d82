"""Recommendations to a file by Ray's workers: those of one process, whoever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import tiny
from ccf_llm.cli import main
from ccf_llm.data.dataset import Dataset
from ccf_llm.distributed import recommend as distributed
from ccf_llm.distributed.cluster import connected
from ccf_llm.distributed.recommend import by_ray
from ccf_llm.errors import CCFError
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.recommend import to_file
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.recommend.to_file import Part, identity, recommend_all

# Ray warns of itself.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
OPTIONS: dict[str, Any] = {"k": 4, "order": "fused"}


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    """One Ray for all of them."""
    pytest.importorskip("ray")
    with connected("local", cpus=4):
        yield


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_file, "PART", 4)


@pytest.fixture(scope="module")
def opening(
    make_network: Callable[..., CCFNetwork], tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Recommender]:
    """From disk, as a worker has it."""
    folder = tmp_path_factory.mktemp("saved")
    CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items).save(folder / "model")
    tiny.early(tiny_data).save(folder / "data")
    return lambda: Recommender(CCFLLM.load(folder / "model"), Dataset.load(folder / "data"), retrieve=12)


@pytest.fixture(scope="module")
def run(
    make_network: Callable[..., CCFNetwork],
    tiny_llm: Path,
    tiny_data: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a run, as far as recommending reads it."""
    folder = tmp_path_factory.mktemp("run")
    tiny_data.save(folder / "data")
    CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items).save(folder / "run/models/ccf_llm")
    (folder / "run/config.yaml").write_text(json.dumps(tiny.run_values(tiny_llm, folder)), encoding="utf-8")
    return folder / "run"


@pytest.fixture(scope="module")
def expected(opening: Callable[[], Recommender], tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """What one process writes."""
    output = tmp_path_factory.mktemp("expected") / "all.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_file, "PART", 4)
        recommend_all(opening(), output, **OPTIONS)
    return pl.read_parquet(output)


def same(found: Path, expected: pl.DataFrame) -> None:
    """Rows and their order; scores but for rounding."""
    frame = pl.read_parquet(found)
    assert frame.drop("score", "probability").equals(expected.drop("score", "probability"))
    assert (frame["score"] - expected["score"]).abs().max() < 1e-5
    assert [path.name for path in found.parent.iterdir() if path.name != "killed"] == [found.name]


def test_a_killed_worker_loses_only_what_it_was_at(
    opening: Callable[[], Recommender], expected: pl.DataFrame, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"

    def mortal() -> Recommender:
        recommender = opening()
        plain = recommender.recommend

        def recommend(users: list[str], **options: Any) -> pl.DataFrame:
            if "u9" in users and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(users, **options)

        vars(recommender)["recommend"] = recommend
        return recommender

    done: list[int] = []
    recommend_all(
        opening(), tmp_path / "all.parquet", write=by_ray(mortal, 2), progress=lambda n, _: done.append(n), **OPTIONS
    )
    assert killed.exists()
    assert done[-1] == 30
    assert len(done) == 8
    same(tmp_path / "all.parquet", expected)


DOCS = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text(encoding="utf-8")
IN_DOCS = DOCS.partition("<!-- recommend -->\n```sh\nccf-llm ")[2].partition("\n```")[0].split()
KILLED = """
import os, signal
from ccf_llm.cli import main
from ccf_llm.cli.progress import Bars
from ccf_llm.recommend import to_file

to_file.PART = 4
Bars.users = lambda self, done, total: done >= 8 and os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_a_killed_command_goes_on(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out" / "all.parquet"
    by_ray = [{"runs/demo": str(run), "best.parquet": str(output), "4": "1"}.get(word, word) for word in IN_DOCS]
    by_ray += ["--keep-seen", "--order", "fused"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *by_ray], capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    parts = {path.name: path.stat().st_mtime_ns for path in output.with_name("all.parquet.parts").glob("0*")}
    assert len(parts) >= 2
    assert not output.exists()

    written: list[Part] = []
    there: set[str] = set()
    plain = distributed._write

    def noted(opening: Any, workers: int, recommender: Recommender, parts: list[Part], options: Any) -> Iterator[int]:
        written.extend(parts)
        there.update(path.name for path in output.with_name("all.parquet.parts").glob("0*"))
        return plain(opening, workers, recommender, parts, options)

    monkeypatch.setattr(distributed, "_write", noted)
    alone = [word for word in by_ray if word not in ("--engine", "ray", "--workers", "1", str(output))]
    alone.insert(alone.index("-o") + 1, str(tmp_path / "alone.parquet"))
    for command in (by_ray, alone):
        monkeypatch.setattr(sys, "argv", ["ccf-llm", *command])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
    # The others, and no more; `there` holds also what a worker ended when the command was gone already.
    assert written
    assert len(there | {part.path.name for part in written}) == 8
    assert not parts.keys() & {part.path.name for part in written}
    same(output, pl.read_parquet(tmp_path / "alone.parquet"))


def test_what_a_worker_cannot_do_is_one_line(
    opening: Callable[[], Recommender], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a worker moves; back again in the end

    def other() -> Recommender:
        recommender = opening()
        recommender.retrieve = 5
        return recommender

    expected = identity(opening())
    rows = pa.table({"path": [str(tmp_path / "part")], "users": [["u1"]]})
    for opener, folder, message in (
        (other, tmp_path, "a worker found another model"),
        (opening, tmp_path / "nowhere", "not on every machine"),
    ):
        answer = distributed._Worker(opener, folder, expected, OPTIONS)(rows)
        assert answer["users"] == [0]
        assert message in answer["error"][0]
    with pytest.raises(CCFError, match="99 workers: the Ray cluster counts 4 cores"):
        recommend_all(opening(), tmp_path / "all.parquet", write=by_ray(opening, 99), **OPTIONS)
    assert not (tmp_path / "all.parquet").exists()
