"""Recommendations for all users, to a Parquet file; a call that was stopped goes on where it was."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ccf_llm.data.ids import Ids, as_ids
from ccf_llm.errors import CCFError
from ccf_llm.io.files import atomic_file, read_json, write_json
from ccf_llm.io.hashing import fingerprint
from ccf_llm.io.parquet import write_parquet
from ccf_llm.io.progress import Done
from ccf_llm.io.tensors import tensors_sha256
from ccf_llm.recommend.arguments import check_choice
from ccf_llm.recommend.recommender import ORDERS, Recommender

PART = 64
"""Users of a part: what is scored in one call, and lost at most when the process is killed."""
KEY_FILE = "key.json"


def recommend_all(
    recommender: Recommender,
    output: str | Path,
    users: Ids | None = None,
    *,
    progress: Done | None = None,
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
        options: those of `Recommender.recommend`, such as k, order and filter_seen.

    Raises:
        CCFError: what `Recommender.recommend` says, or a file cannot be written.
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
    _open(folder, _key(recommender, wanted, options))
    parts = [folder / f"{begin:09d}.parquet" for begin in range(0, len(wanted), PART)] or [folder / "empty.parquet"]
    for n, part in enumerate(parts):
        mine = wanted[n * PART : (n + 1) * PART]
        if not part.exists():  # it was written whole, or not at all
            write_parquet(recommender.recommend(mine, **options), part)
        if progress is not None:
            progress(n * PART + len(mine), len(wanted))
    with atomic_file(output) as temporary:
        pl.scan_parquet(parts, glob=False).sink_parquet(temporary)
    shutil.rmtree(folder)


def _open(folder: Path, key: str) -> None:
    """The folder of the parts; those of another call are removed."""
    if folder.exists():
        if not (folder / KEY_FILE).is_file():
            raise CCFError(f"{folder}: is in the way and holds no parts; move it, or choose another output")
        if read_json(folder / KEY_FILE) == {"key": key}:
            return
        shutil.rmtree(folder)
    write_json(folder / KEY_FILE, {"key": key})


def _key(recommender: Recommender, users: list[str], options: dict[str, Any]) -> str:
    """Changes with everything that decides a recommendation."""
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
            users,
            options,
        ]
    )
