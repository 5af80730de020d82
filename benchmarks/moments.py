"""A run's retriever at several moments of train and valid: settings are chosen by more people than one valid part has.

    python benchmarks/moments.py configs/ranking-ifdb.yaml --set data.source=DATA --out benchmarks/ifdb/moments.json \
      --try "no words" cf.prior.words=none --try "half-life 30" cf.ease.half_life=30

For data that a run splits by one time for all. At each moment the retriever is fitted on all rows before it and asked
for the next tenth; the last moment is the run's own valid, and nothing of test is read. NDCG@10 over the whole
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
from ccf_llm.data.likes import like_times, likes_matrix, targets
from ccf_llm.evaluation.metrics import Doubles
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.folder import open_split
from ccf_llm.experiments.words import words_of
from ccf_llm.io.files import read_json, write_json


def figures(path: Path, settings: list[str], moment: float) -> tuple[Doubles, Doubles]:
    """NDCG@10 of all who are asked after a moment, and of those of them who have a history."""
    config = load_config(path, [*settings, f"data.split.train={moment}", "data.split.valid=0.1"])
    dataset = open_split(config)
    own = config.cf.of(config.cf.model)
    assert isinstance(own, RetrieverConfig)  # the ranking task names no other kind
    likes, times, asked = likes_matrix(dataset, "train"), like_times(dataset, "train"), targets(dataset, "valid")
    kind = RETRIEVERS[config.cf.model]
    found = figures_of(kind.fit(likes, config=own, times=times, words=words_of(config, dataset)), asked)
    return found, found[[len(history) > 0 for history in asked.histories]]


def measured(path: Path, settings: list[str], moments: list[float]) -> dict[str, Any]:
    """Means over the people of all moments, and of each."""
    every, told = zip(*(figures(path, settings, moment) for moment in moments), strict=True)
    joined = np.concatenate(told)
    return {
        "settings": settings,
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
    parser.add_argument("--at", nargs="+", type=float, default=[0.5, 0.6, 0.7, 0.8], help="Shares of the rows.")
    parser.add_argument("--try", action="append", nargs="+", default=[], dest="tries", metavar="NAME SETTING")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows: dict[str, Any] = read_json(arguments.out)["rows"] if arguments.out.exists() else {}
    for name, *settings in [["as it is"], *arguments.tries]:
        rows[name] = measured(arguments.config, [*arguments.set, *settings], arguments.at)
        print(name, rows[name], flush=True)
        about = {"config": str(arguments.config), "moments": arguments.at, "made": circumstances()}
        write_json(arguments.out, about | {"rows": rows})


if __name__ == "__main__":
    main()
