"""A run's retriever at several moments of train and valid: settings are chosen by more people than one valid part has.

    python benchmarks/moments.py configs/ranking-ifdb.yaml --set data.source=DATA --out benchmarks/ifdb/moments.json \
      --try "no words" cf.prior.words=none --try "half-life 30" cf.ease.half_life=30

For data that a run splits by one time for all. At each moment the retriever is fitted on all rows before it, is told
what people liked in the tenth of all rows that follows, and is asked for the next tenth: as test is asked a tenth after
what the retriever was fitted on (`--gap 0`: at once, as valid is). Nothing of test is read. NDCG@10 over the whole
catalogue, as the mean over all who are asked, and of those with a history alone (the others get what is popular).
Each `--try` is a name and settings beside those of the configuration, which come first as `as it is`.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from retrievers import figures_of

from ccf_llm.cf.kinds import RETRIEVERS
from ccf_llm.cf.settings import RetrieverConfig
from ccf_llm.data.dataset import Dataset
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.data.moments import split_at
from ccf_llm.data.named import open_dataset
from ccf_llm.evaluation.metrics import Doubles
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import RunConfig, load_config
from ccf_llm.experiments.words import words_of
from ccf_llm.io.files import read_json, write_json

STRETCH = 0.1
"""Of all rows, that are asked for."""


def at(dataset: Dataset, moment: float, gap: float) -> Dataset:
    """The data set split there: train before the moment, valid for the gap, and test the tenth after it."""
    ordered = np.sort(dataset.interactions["timestamp"].to_numpy())
    shares = (moment, moment + gap, moment + gap + STRETCH)
    return split_at(dataset, [int(ordered[int(len(ordered) * round(share, 9))]) for share in shares])


def figures(config: RunConfig, moment: float, gap: float) -> tuple[Doubles, Doubles]:
    """NDCG@10 of all who are asked after a moment, and of those of them who have a history."""
    dataset, own = at(open_dataset(config.data.source), moment, gap), config.cf.of(config.cf.model)
    assert isinstance(own, RetrieverConfig)  # the ranking task names no other kind
    likes, times, asked = likes_matrix(dataset, "train"), like_times(dataset, "train"), targets(dataset, "test")
    kind = RETRIEVERS[config.cf.model]
    found = figures_of(kind.fit(likes, config=own, times=times, words=words_of(config, dataset)), asked)
    return found, found[[len(history) > 0 for history in asked.histories]]


def measured(path: Path, settings: list[str], moments: list[float], gap: float) -> dict[str, Any]:
    """Means over the people of all moments, and of each."""
    config = load_config(path, settings)
    every, told = zip(*(figures(config, moment, gap) for moment in moments), strict=True)
    joined = np.concatenate(told)
    return {
        "settings": [setting for setting in settings if not setting.startswith("data.source")],
        "ndcg@10": round(float(np.concatenate(every).mean()), 4),
        "with a history": round(float(joined.mean()), 4),
        "standard_error": round(float(joined.std(ddof=1) / np.sqrt(len(joined))), 4),
        "by moment": [round(float(own.mean()), 4) for own in told],
        "people": [len(own) for own in told],
    }


def main() -> None:
    """Measure every setting at every moment; the file grows with each, and keeps what other names it has."""
    parser = argparse.ArgumentParser(description="A run's retriever at several moments.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], help="A setting of all, such as data.source.")
    parser.add_argument("--at", nargs="+", type=float, default=[0.4, 0.5, 0.6, 0.7], help="Shares of the rows.")
    parser.add_argument("--gap", type=float, default=STRETCH, help="Share of the rows before what is asked for.")
    parser.add_argument("--try", action="append", nargs="+", default=[], dest="tries", metavar="NAME SETTING")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, Any] = read_json(arguments.out)["rows"] if arguments.out.exists() else {}
    for name, *settings in [["as it is"], *arguments.tries]:
        rows[name] = measured(arguments.config, [*arguments.set, *settings], arguments.at, arguments.gap)
        print(name, rows[name], flush=True)
        about = {
            "config": str(arguments.config),
            "moments": arguments.at,
            "gap": arguments.gap,
            "made": circumstances(),
        }
        write_json(arguments.out, about | {"rows": rows})


if __name__ == "__main__":
    main()
