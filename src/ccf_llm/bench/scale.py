"""How time and memory grow with the rows of a log, part by part, each in a process of its own."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from ccf_llm.bench.generated import Log
from ccf_llm.cf.als import ALS
from ccf_llm.cf.sasrec_softmax import SASRecSoftmax
from ccf_llm.cf.settings import SASRecSoftmaxConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.importers import import_tables
from ccf_llm.data.likes import like_times, likes_matrix, mapped_likes
from ccf_llm.data.split import split_dataset
from ccf_llm.errors import CCFError
from ccf_llm.experiments.cost import measured
from ccf_llm.io.memory import give_back
from ccf_llm.io.progress import Say

Work = Callable[[], object]


def _import(folder: Path) -> Work:
    """A table in CSV becomes a data set."""
    return lambda: import_tables(folder / "log/interactions.csv", folder / "log/items.csv").save(folder / "data")


def _load(folder: Path) -> Work:
    return lambda: Dataset.load(folder / "data")


def _split(folder: Path) -> Work:
    """By each user's time, written too."""
    dataset = Dataset.load(folder / "data")
    return lambda: split_dataset(dataset, by="user").save(folder / "split")


def _histories(folder: Path) -> Work:
    dataset = Dataset.load(folder / "split")
    return dataset.rows


def _als(folder: Path) -> Work:
    """With its default settings, the matrix of likes included; histories are there."""
    dataset = Dataset.load(folder / "split")
    dataset.rows()
    return lambda: ALS.fit(likes_matrix(dataset, "train"))


def _sasrec(folder: Path) -> Work:
    """As `_als`, one pass of a small one."""
    dataset = Dataset.load(folder / "split")
    dataset.rows()
    return lambda: SASRecSoftmax.fit(likes_matrix(dataset, "train"), times=like_times(dataset, "train"), config=SMALL)


def _pieces(folder: Path) -> Work:
    """The data set is read, split by each user's time and given its histories a piece at a time, and never loaded."""
    return lambda: [len(piece.rows("train")) for piece in _split_pieces(folder)]


def _mapped(folder: Path) -> Work:
    """What comes of such pieces: the matrices of likes and their times, in files."""
    return lambda: mapped_likes(_split_pieces(folder), "train", scratch=folder)


def _mapped_als(folder: Path) -> Work:
    """As `_als`, of what `_mapped` gives."""
    likes, _ = mapped_likes(_split_pieces(folder), "train", scratch=folder)
    give_back()
    return lambda: ALS.fit(likes)


def _mapped_sasrec(folder: Path) -> Work:
    likes, times = mapped_likes(_split_pieces(folder), "train", scratch=folder)
    give_back()
    return lambda: SASRecSoftmax.fit(likes, times=times, config=SMALL)


def _split_pieces(folder: Path) -> Iterator[Dataset]:
    return (split_dataset(piece, by="user") for piece in Dataset.pieces(folder / "data"))


SMALL = SASRecSoftmaxConfig(dim=16, horizon=1, negatives=100, batch_size=256, epochs=1)
PARTS = {
    "import": _import,
    "load": _load,
    "split": _split,
    "histories": _histories,
    "als": _als,
    "sasrec": _sasrec,
    "pieces": _pieces,
    "mapped": _mapped,
    "mapped-als": _mapped_als,
    "mapped-sasrec": _mapped_sasrec,
}
"""What is measured, in order: a part reads what those before it wrote, which is not in its time."""


def bench_scale(
    rows: Sequence[int], *, parts: Sequence[str] = tuple(PARTS), scratch: Path | None = None, say: Say = print
) -> dict[str, Any]:
    """Seconds, processor seconds and peak memory of each part at each number of rows, and how they grow.

    Logs are generated (see `Log`) and written as CSV. `exponent` is b of the fit seconds = a rows^b to the processor's
    seconds, which other work on the machine moves least; `bytes_per_row` the slope of the peak, `own_bytes_per_row`
    that of the peak without pages of files, which the system takes back at need. All are None for one number of rows.

    Args:
        rows: of the logs.
        parts: names of `PARTS`; what they need is made in any case.
        scratch: folder for the logs, of about 80 bytes a row; the system's by default.
        say: gets a line for each figure.

    Raises:
        CCFError: a part that there is not.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise CCFError(f"--part {unknown[0]}: is none of {', '.join(PARTS)}")
    last = max(map(list(PARTS).index, parts))
    done = [part for part in [*PARTS][: last + 1] if part in {"import", "split", *parts}]  # these two write
    points: dict[str, list[dict[str, float]]] = {part: [] for part in parts}
    for n in rows:
        with tempfile.TemporaryDirectory(prefix="ccf-llm-", dir=scratch) as folder:
            _apart(_generate, n, Path(folder))
            for part in done:
                found = _apart(_measure, part, Path(folder))
                if part in parts:
                    points[part].append({"rows": n} | found)
                    memory = f"{found['peak_mb']:,.0f} MB, {found['own_mb']:,.0f} of them its own"
                    say(f"{n:,} rows, {part}: {found['seconds']} s, {memory}")
    return {
        "rows": list(rows),
        "seconds_are": "of the part alone; cpu_seconds of all threads; peak_mb of its whole process, own_mb without "
        "pages of files",
        "load_average": round(os.getloadavg()[0], 1),
        "parts": {part: _growth(found) | {"points": found} for part, found in points.items()},
    }


def _apart(work: Callable[..., Any], *arguments: object) -> Any:
    """What `work` gives in a new process, so that its memory is all that is measured."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _generate(rows: int, folder: Path) -> None:
    Log(rows).write(folder / "log", "csv")


def _measure(part: str, folder: Path) -> dict[str, float]:
    work = PARTS[part](folder)
    with measured() as cost, _own_memory() as own:
        busy = time.process_time()
        work()
        busy = time.process_time() - busy
    return {"seconds": cost.seconds, "cpu_seconds": round(busy, 2), "peak_mb": cost.peak_mb, "own_mb": max(own)}


@contextmanager
def _own_memory() -> Iterator[list[float]]:
    """MB of this process that are no pages of files, looked at 50 times a second, where the system is Linux."""
    found, done, status = [0.0], Event(), Path("/proc/self/status")

    def look() -> None:
        while status.is_file():
            lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
            found.append(round(int(lines["RssAnon"].split()[0]) / 2**10, 1))
            if done.wait(0.02):
                return

    watch = Thread(target=look, daemon=True)
    watch.start()
    try:
        yield found
    finally:
        done.set()
        watch.join()


def _growth(points: Sequence[dict[str, float]]) -> dict[str, float | None]:
    if len(points) < 2:
        return {"exponent": None, "bytes_per_row": None, "own_bytes_per_row": None}
    rows, busy, peak, own = (
        np.array([point[key] for point in points]) for key in ("rows", "cpu_seconds", "peak_mb", "own_mb")
    )
    exponent = np.polyfit(np.log(rows), np.log(np.maximum(busy, 0.01)), 1)[0]
    return {
        "exponent": round(float(exponent), 3),
        "bytes_per_row": round(float(np.polyfit(rows, peak * 2**20, 1)[0]), 1),
        "own_bytes_per_row": round(float(np.polyfit(rows, own * 2**20, 1)[0]), 1),
    }
