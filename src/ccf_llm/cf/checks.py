"""Checks of the rows that a collaborative model is given."""

import numpy as np

from ccf_llm.data.rows import Rows
from ccf_llm.errors import CCFError


def check_codes(rows: Rows, n_users: int, n_items: int) -> None:
    """Raise `CCFError` if a code lies outside the vocabulary that the model was made for."""
    for what, codes, size in (
        ("user", rows.users, n_users),
        ("item", rows.items, n_items),
        ("item", rows.likes, n_items),
    ):
        if len(codes) and not 0 <= codes.min() <= codes.max() <= size:
            worst = codes.max() if codes.max() > size else codes.min()
            raise CCFError(
                f"rows: {what} code {worst} is outside 0..{size}; encode them with the model's own vocabulary"
            )


def check_labels(rows: Rows, name: str) -> None:
    """Raise `CCFError` unless `rows` hold both liked (1) and not liked (0) rows, and nothing else."""
    unknown = np.flatnonzero((rows.labels != 0) & (rows.labels != 1))
    if len(unknown):
        raise CCFError(f"{name}: row {unknown[0]} has label {rows.labels[unknown[0]]}; give labels 0 or 1")
    if not 0 < rows.labels.sum() < len(rows):
        raise CCFError(f"{name}: {len(rows)} rows without both liked and not liked ones; choose another split")
