"""Time and memory of fitting EASE to a large catalogue, on generated likes.

    python benchmarks/ease_scale.py --out benchmarks/ranking/ease-scale.json

People like what is popular (shares as 1 / rank) and of their own tenth of the catalogue. The peak is of the whole
process, libraries and likes included.
"""

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from ccf_llm.cf.ease import EASE
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json

TASTES = 10


def generated(people: int, items: int, each: int, seed: int = 0) -> csr_matrix:
    """(people + 1, items + 1) likes by code, `each` draws a person; every item is liked by somebody."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, items // TASTES + 1)
    within = rng.choice(len(share), (people, each), p=share / share.sum())
    liked = within * TASTES + (np.arange(people) % TASTES)[:, None] + 1
    rows = np.concatenate([np.repeat(np.arange(1, people + 1), each), np.arange(items) % people + 1])
    columns = np.concatenate([liked.ravel(), np.arange(1, items + 1)])
    likes = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(people + 1, items + 1))
    likes.data[:] = 1
    return likes


def main() -> None:
    """Fit once and write the figures."""
    parser = argparse.ArgumentParser(description="EASE on a large catalogue.")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    likes = generated(arguments.people, arguments.items, arguments.each)
    begun, cpu = time.perf_counter(), time.process_time()
    model = EASE.fit(likes)
    seconds, busy = time.perf_counter() - begun, time.process_time() - cpu
    result = {
        "items": model.n_items,
        "people": arguments.people,
        "likes": int(likes.nnz),
        "settings": model.config.model_dump(mode="json"),
        "fit_seconds": round(seconds, 1),
        "fit_cpu_seconds": round(busy, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "load_average": round(os.getloadavg()[0], 1),
        "made": circumstances(),
    }
    print(result)
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
