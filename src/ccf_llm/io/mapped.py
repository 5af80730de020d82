"""Sparse matrices whose cells lie in files: what is made of one takes some rows at a time, and lies in files too."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.sparse import csr_matrix

from ccf_llm.io.files import refused

CELLS = 1 << 20
"""That are in memory at a time, or those of one row where they are more."""


def stacked(parts: Iterable[csr_matrix], folder: Path) -> csr_matrix:
    """The rows of 1 or more parts, which have one width and type, one below the other, with their cells in `folder`.

    Two numbers a row are in memory. The files go when nobody holds the matrix any more; where the system allows it,
    they have no names. Raises `CCFError` where the disk refuses them.
    """
    bounds, held = [np.zeros(1, dtype=np.int64)], 0
    with _file(folder) as indices, _file(folder) as data:
        for part in parts:
            indices.write(part.indices)
            data.write(part.data)
            bounds.append(part.indptr[1:] + np.int64(held))
            held += part.nnz
        cells = _mapped(data, part.data.dtype), _mapped(indices, part.indices.dtype)
    return csr_matrix((*cells, np.concatenate(bounds)), shape=(sum(map(len, bounds)) - 1, part.shape[1]))


def zeros(shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """Zeros to be written to: in a file of `folder`, as in `stacked`; without a folder in memory."""
    if folder is None:
        return np.zeros(shape, dtype=dtype)
    with _file(folder) as file:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if hasattr(os, "posix_fallocate"):  # else a full disk would end the process when the zeros are written to
            os.posix_fallocate(file.fileno(), 0, size)
        file.truncate(size)
        return _mapped(file, dtype).reshape(shape)


def folder_of(matrix: csr_matrix) -> Path | None:
    """Where the cells of a matrix lie; None: in memory."""
    array: Any = matrix.indices
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return None if array is None else Path(str(array.filename)).parent


def blocks(
    matrix: csr_matrix, order: NDArray[np.int64] | None = None, *, times: int = 1
) -> Iterator[tuple[int, int, csr_matrix]]:
    """The rows, or those at the places `order`, with the first place and the one after the last: all of them at once
    or, where the cells lie in files, `times` `CELLS` at a time, in memory."""
    lengths = np.diff(matrix.indptr) if order is None else np.diff(matrix.indptr)[order]
    if folder_of(matrix) is None:
        yield 0, len(lengths), matrix if order is None else matrix[order]
        return
    ends = np.cumsum(lengths, dtype=np.int64)
    cuts = np.searchsorted(ends, np.arange(times * CELLS, ends[-1], times * CELLS))
    for begin, end in pairwise(np.unique([0, *cuts, len(ends)]).tolist()):
        yield begin, end, matrix[begin:end] if order is None else matrix[order[begin:end]]


def by_rows(
    matrix: csr_matrix, work: Callable[[csr_matrix], csr_matrix], order: NDArray[np.int64] | None = None
) -> csr_matrix:
    """What `work` makes of the rows, or of those at the places `order`, by whichever of them it is given."""
    done = (work(some) for _, _, some in blocks(matrix, order))
    return next(done) if (folder := folder_of(matrix)) is None else stacked(done, folder)


def columns_counted(matrix: csr_matrix) -> NDArray[np.int64]:
    """(n_columns,) cells of each column."""
    counts = np.zeros(matrix.shape[1], dtype=np.int64)
    for _, _, some in blocks(matrix):
        counts += some.getnnz(axis=0)
    return counts


def transposed(matrix: csr_matrix) -> csr_matrix:
    """Columns as rows, each with its cells in the order of the rows."""
    if (folder := folder_of(matrix)) is None:
        return matrix.T.tocsr()
    bounds = np.append(0, np.cumsum(columns_counted(matrix)))
    indices, data = (zeros((matrix.nnz,), kind.dtype, folder) for kind in (matrix.indices, matrix.data))
    free = bounds[:-1].copy()  # where the next cell of each column goes
    for begin, _, some in blocks(matrix, times=16):  # not fewer cells, as each of them writes to all of the file
        columns = some.T.tocsr()
        lengths = np.diff(columns.indptr)
        places = np.repeat(free - columns.indptr[:-1], lengths) + np.arange(columns.nnz)
        indices[places], data[places] = columns.indices + begin, columns.data
        free += lengths
    return csr_matrix((data, indices, bounds), shape=matrix.shape[::-1])


@contextmanager
def _file(folder: Path) -> Iterator[Any]:
    """A file to be written and then mapped, without its name in the end."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".cells-") as file:
            yield file
    except OSError as error:
        raise refused(folder, error) from error


def _mapped(file: Any, dtype: DTypeLike) -> NDArray[Any]:
    """(n,) what stands in the file, to be read and written; its bytes are not in this process's memory."""
    file.flush()
    return np.memmap(file, dtype=dtype, mode="r+") if os.fstat(file.fileno()).st_size else np.zeros(0, dtype=dtype)
