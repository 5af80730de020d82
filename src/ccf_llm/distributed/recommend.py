"""Parts of a file of recommendations, written by the actors of Ray Data."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ccf_llm.distributed.cluster import share, work_in
from ccf_llm.errors import CCFError
from ccf_llm.recommend.recommender import Recommender
from ccf_llm.recommend.to_file import Part, WriteParts, identity

BLOCKS = 4096
"""Most tasks that Ray is given; each holds one part or, of more than so many, several."""
Open = Callable[[], Recommender]


def by_ray(open_recommender: Open, workers: int) -> WriteParts:
    """Who writes the parts of `recommend_all` on the Ray that this process is connected to.

    Parts of a worker that is killed are written by another, or by the one that takes its place.

    Args:
        open_recommender: gives each worker its recommender, the same as the one that `recommend_all` has. It is called
            in the folder in which this process runs, which all machines of the cluster share, as they do the output.
        workers: how many processes hold the model, one core each.
    """
    return partial(_write, open_recommender, workers)


def _write(
    open_recommender: Open, workers: int, recommender: Recommender, parts: Sequence[Part], options: dict[str, Any]
) -> Iterator[int]:
    import ray.data

    if not parts:
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"path": str(part.path.resolve()), "users": part.users} for part in parts]
    written = ray.data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS)).map_batches(
        _Worker,
        fn_constructor_args=(open_recommender, Path.cwd(), identity(recommender), options),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        **share(workers),
    )
    for row in written.iter_rows():
        if row["error"]:
            raise CCFError(row["error"])
        yield row["users"]


class _Worker:
    """Loads the model with its first part; what a person can put right comes back as a row, not as a traceback."""

    def __init__(self, open_recommender: Open, folder: Path, expected: str, options: dict[str, Any]) -> None:
        self._open, self._folder, self._expected, self._options = open_recommender, folder, expected, options
        self._recommender: Recommender | None = None

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        (row,) = batch.to_pylist()
        part = Part(Path(row["path"]), row["users"])
        try:
            # A task that is tried again finds what it had written before.
            done = len(part.users) if part.path.exists() else part.write(self._loaded(), self._options)
        except CCFError as error:
            return {"users": [0], "error": [str(error)]}
        return {"users": [done], "error": [""]}

    def _loaded(self) -> Recommender:
        if self._recommender is None:
            work_in(self._folder)
            recommender = self._open()
            if identity(recommender) != self._expected:
                raise CCFError("a worker found another model or data set; give a run that does not change meanwhile")
            self._recommender = recommender
        return self._recommender
