"""Recommendations for all users, to a Parquet file; a call that was stopped goes on where it was."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ccf_llm.data.ids import Ids, as_ids
from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_file, only_one, read_json, write_json
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.parquet import write_parquet
from ccf_llm.io.progress import Done
from ccf_llm.io.tensors import tensors_sha256
from ccf_llm.recommend.arguments import check_choice
from ccf_llm.recommend.recommender import ORDERS, Recommender

PART = 64
"""Users of a part: what is scored in one call, and lost at most when the process is killed."""
KEY_FILE = "key.json"


@dataclass(frozen=True)
class Part:
    """Some of the users, and where their recommendations go."""

    path: Path
    users: list[str]

    def write(self, recommender: Recommender, options: dict[str, Any]) -> int:
        """Put it on disk, whole or not at all, and say how many users it holds."""
        write_parquet(recommender.recommend(self.users, **options), self.path)
        return len(self.users)


WriteParts = Callable[[Recommender, Sequence[Part], dict[str, Any]], Iterator[int]]
"""Writes parts, in any order, and gives the number of users of each that is on disk."""


def one_by_one(recommender: Recommender, parts: Sequence[Part], options: dict[str, Any]) -> Iterator[int]:
    """Parts written in this process."""
    return (part.write(recommender, options) for part in parts)


def recommend_all(
    recommender: Recommender,
    output: str | Path,
    users: Ids | None = None,
    *,
    progress: Done | None = None,
    write: WriteParts = one_by_one,
    **options: Any,
) -> None:
    """Write the best items of many users to one Parquet file.

    Parts of 64 users are kept in the folder `<output>.parts` until all are there; then they are joined and the folder
    is removed. The same call goes on where it was stopped. A call with another model, other data, users or options
    starts anew. Memory holds one part at a time, whatever the number of users.

    Args:
        recommender: of the model and the data set.
        output: the Parquet file, with the columns of `Recommender.recommend`, users in the order given.
        users: ids, texts or whole numbers; None for all users of the data set. Repeated ones count once.
        progress: told after each part.
        write: who writes the parts (default: this process, one after the other).
        options: those of `Recommender.recommend`, such as k, order and filter_seen.

    Raises:
        CCFError: what `Recommender.recommend` says, a file cannot be written, or another process writes these parts.
    """
    output = Path(output)
    wanted = list(dict.fromkeys(as_ids(recommender.dataset.user_vocabulary.ids if users is None else users, "users")))
    # Every part asks with the same items: a generator would be used up by the first.
    given = [name for name in ("candidates", "deny") if options.get(name) is not None]
    options |= {name: as_ids(options[name], name) for name in given}
    recommender.check_users(wanted)
    # A wrong option is said before anything is written.
    check_choice(options.get("order") or recommender.order, "order", ORDERS)
    recommender.recommend(wanted[:1], **options | {"order": "cf"})
    folder = output.with_name(f"{output.name}.parts")
    with only_one(folder, "writing recommendations"):
        key = fingerprint([identity(recommender), wanted, options])
        _open(folder, key)
        # The key is in their names too: whoever still works for a call that was killed writes nothing into this one.
        parts = [
            Part(folder / f"{begin:09d}-{key[:12]}.parquet", wanted[begin : begin + PART])
            for begin in range(0, max(len(wanted), 1), PART)
        ]
        missing = [part for part in parts if not part.path.exists()]  # it was written whole, or not at all
        done = len(wanted) - sum(len(part.users) for part in missing)
        if done and progress is not None:
            progress(done, len(wanted))
        for more in write(recommender, missing, options):
            done += more
            if progress is not None:
                progress(done, len(wanted))
        with atomic_file(output) as temporary:
            pl.scan_parquet([part.path for part in parts], glob=False).sink_parquet(temporary)
        shutil.rmtree(folder)


def _open(folder: Path, key: str) -> None:
    """The folder of the parts; those of another call are removed."""
    there = list(folder.iterdir())
    if there and not (folder / KEY_FILE).is_file():
        raise CCFError(f"{folder}: is in the way and holds no parts; move it, or choose another output")
    if there and read_json(folder / KEY_FILE) == {"key": key}:
        return
    for left in there:  # the folder itself stays: it is what other processes are kept out by
        left.unlink()
    write_json(folder / KEY_FILE, {"key": key})


def identity(recommender: Recommender) -> str:
    """Changes with everything but users and options that decides a recommendation."""
    model, network = recommender.model, recommender.model.network
    return fingerprint(
        [
            version("ccf-llm"),
            network.llm.source.checksum,
            model.info.model_dump(mode="json"),
            [model.users.sha256, model.item_vocabulary.sha256, model.items.write_json()],
            tensors_sha256(network.weights()),
            *([words] if (words := recommender.model.user_words(recommender.dataset)) else []),
            recommender.dataset.identity.to_json(),
            [recommender.retrieve, recommender.text_share, recommender.exact_up_to],
        ]
    )
