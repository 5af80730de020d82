from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from ccf_llm.errors import CCFError
from ccf_llm.io import mapped
from ccf_llm.io.mapped import blocks, by_rows, columns_counted, folder_of, stacked, transposed, zeros


@pytest.fixture
def matrix() -> csr_matrix:
    return csr_matrix(random_array((40, 12), density=0.3, rng=np.random.default_rng(0), dtype=np.float32))


@pytest.fixture
def filed(matrix: csr_matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> csr_matrix:
    """The same, in files, of which few cells are in memory at a time."""
    monkeypatch.setattr(mapped, "CELLS", 5)
    return stacked([matrix[:15], matrix[15:15], matrix[15:]], tmp_path)


def assert_same(one: csr_matrix, other: csr_matrix) -> None:
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_cells_lie_in_files_without_names(matrix: csr_matrix, filed: csr_matrix, tmp_path: Path) -> None:
    assert_same(filed, matrix)
    assert (folder_of(filed), folder_of(matrix)) == (tmp_path, None)
    assert list(tmp_path.iterdir()) == []
    assert folder_of(csr_matrix(filed)) == tmp_path


def test_blocks_are_small_and_all_rows(matrix: csr_matrix, filed: csr_matrix) -> None:
    order = np.random.default_rng(0).permutation(40)
    for given in (None, order):
        found = list(blocks(filed, given))
        assert len(found) > 5
        assert all(some.nnz <= 5 + 12 and folder_of(some) is None for _, _, some in found)
        assert [begin for begin, _, _ in found[1:]] == [end for _, end, _ in found[:-1]]
        whole = np.concatenate([some.toarray() for _, _, some in found])
        np.testing.assert_array_equal(whole, matrix.toarray() if given is None else matrix.toarray()[order])
    assert len(list(blocks(matrix))) == 1


def test_what_is_made_of_it_is_the_same_and_lies_in_files_too(
    matrix: csr_matrix, filed: csr_matrix, tmp_path: Path
) -> None:
    order = np.arange(39, 0, -2)
    for make in (
        lambda cells: by_rows(cells, lambda some: some.astype(np.float64)[:, 1:]),
        lambda cells: by_rows(cells, csr_matrix, order),
        transposed,
    ):
        assert_same(make(filed), make(matrix))
        assert (folder_of(make(filed)), folder_of(make(matrix))) == (tmp_path, None)
    np.testing.assert_array_equal(columns_counted(filed), matrix.getnnz(axis=0))


def test_zeros_in_a_file_can_be_written_to(tmp_path: Path) -> None:
    for found in (zeros((3, 2), np.float32, tmp_path), zeros((3, 2), np.float32, None)):
        assert (found.shape, found.dtype, found.any()) == ((3, 2), np.float32, False)
        found[1] = 1
        assert found.sum() == 2


def test_a_folder_that_is_not_there_is_named(matrix: csr_matrix, tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"none: No such file or directory; free space or choose another folder$"):
        stacked([matrix], tmp_path / "none")
