"""Drawing by lot, whatever the order of the rows: a lot is a hash of what it is drawn for."""

import hashlib

import numpy as np
import polars as pl


def lot(*parts: object) -> int:
    """63 bits that the parts decide."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


def lots_of_rows(interactions: pl.DataFrame, seed: int) -> pl.Series:
    """(N,) the lot of each row, by seed, user and item."""
    draws = (lot(seed, user, item) for user, item in interactions.select("user_id", "item_id").iter_rows())
    return pl.Series("draw", np.fromiter(draws, dtype=np.int64, count=len(interactions)))
