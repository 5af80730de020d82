"""Retrieval from a large catalogue: time of a query through the index, with filters, and what it misses.

    python benchmarks/catalogue_scale.py --items 1000000 --out benchmarks/scale/catalogue-1m.json

Items are drawn around centres, as learned vectors lie; longer ones are the popular. A query is the mean of ten items of
two centres. Brute force is the product with all vectors, of which the eligible ones are sorted.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from ccf_llm.data.rows import Floats
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.cost import measured
from ccf_llm.io.files import write_json
from ccf_llm.recommend.retrieval import PROBED, Mask, Positions, VectorIndex

CENTRES, MEMBERS = 400, 10
DEPTHS = (10, 100, 1000)
FILTERS = {"none": 1.0, "half of the items": 0.5, "one in a hundred": 0.01}


def generated(items: int, width: int, queries: int) -> tuple[Floats, Floats]:
    """(items, width) vectors and (queries, width) of people."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CENTRES, width)).astype(np.float32)
    of = random.integers(CENTRES, size=items)
    vectors = centres[of] + random.normal(0, 0.7, (items, width)).astype(np.float32)
    vectors *= random.lognormal(0, 0.4, (items, 1)).astype(np.float32)
    by_centre = [np.flatnonzero(of == centre) for centre in range(CENTRES)]
    liked = [
        np.concatenate([random.choice(by_centre[c], MEMBERS // 2) for c in random.choice(CENTRES, 2, replace=False)])
        for _ in range(queries)
    ]
    return vectors, np.stack([vectors[some].mean(axis=0) for some in liked])


def brute_force(vectors: Floats, query: Floats, n: int, eligible: Mask) -> Positions:
    """The best `n` eligible items."""
    scores = np.where(eligible, vectors @ query, -np.inf)
    best = np.argpartition(-scores, n)[:n]
    return best[np.argsort(-scores[best], kind="stable")]


def main() -> None:
    """Build once, ask many, write the figures."""
    parser = argparse.ArgumentParser(description="Retrieval from a large catalogue.")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    vectors, queries = generated(arguments.items, arguments.width, arguments.queries)
    with measured() as building:
        index = VectorIndex(vectors)
    random, rows = np.random.default_rng(1), []
    with measured() as asking:
        for name, share in FILTERS.items():
            eligible = random.random(arguments.items) < share
            for depth in DEPTHS:
                waits, exact_waits, found = [], [], []
                for query in queries:
                    begun = time.perf_counter()
                    some = index.search(query, depth, eligible)
                    middle = time.perf_counter()
                    best = brute_force(vectors, query, depth, eligible)
                    exact_waits.append(time.perf_counter() - middle)
                    waits.append(middle - begun)
                    found.append(len(np.intersect1d(some, best)) / depth)
                p50, p95, exact = (
                    1000 * float(np.percentile(of, share))
                    for of, share in ((waits, 50), (waits, 95), (exact_waits, 50))
                )
                rows.append(
                    {
                        "filter": name,
                        "k": depth,
                        "recall": round(float(np.mean(found)), 4),
                        "p50_ms": round(p50, 2),
                        "p95_ms": round(p95, 2),
                        "brute_force_p50_ms": round(exact, 2),
                    }
                )
                print(rows[-1], flush=True)
    result = {
        "items": arguments.items,
        "width": arguments.width,
        "queries": arguments.queries,
        "probed": PROBED,
        "build_seconds": building.seconds,
        "build_peak_mb": building.peak_mb,
        "peak_mb": asking.peak_mb,
        "rows": rows,
        "load_average": round(os.getloadavg()[0], 1),
        "made": circumstances(),
    }
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
