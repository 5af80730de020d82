from pathlib import Path

import pytest
import torch

from ccf_llm.errors import CCFError
from ccf_llm.io.tensors import fill, find_tensor, read_tensors, tensors_sha256, write_tensors


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).view(2, 3).t(), "b": torch.ones(2, dtype=torch.bfloat16, requires_grad=True)}
    write_tensors(tensors, tmp_path / "x.safetensors")
    found = read_tensors(tmp_path / "x.safetensors")
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        name: (value.dtype, value.tolist()) for name, value in tensors.items()
    }
    assert find_tensor(tmp_path, "b").tolist() == [1, 1]  # type: ignore[union-attr]
    assert find_tensor(tmp_path, "c") is None


def test_missing_and_cut_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(CCFError, match=r"x\.safetensors: no such file; make it again$"):
        read_tensors(path, remedy="make it again")
    write_tensors({"a": torch.zeros(9)}, path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CCFError, match=r"^[^\n]*x\.safetensors: cut or damaged \([^\n]+\); save the model again$"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": torch.ones(2)}, r"x: does not fit this model \(b\); train"),
        ({"a": torch.ones(2), "b": torch.ones(3)}, r"x: 'b' has shape \(3,\), not \(1,\); train"),
    ],
)
def test_what_does_not_fit_changes_nothing(values: dict[str, torch.Tensor], message: str) -> None:
    targets = {"a": torch.zeros(2), "b": torch.zeros(1)}
    with pytest.raises(CCFError, match=message):
        fill(targets, values, Path("x"), remedy="train")
    assert targets["a"].tolist() == [0, 0]
    fill(targets, {"a": torch.ones(2), "b": torch.ones(1)}, Path("x"), remedy="train")
    assert [value.tolist() for value in targets.values()] == [[1, 1], [1]]


def test_a_digest_follows_values_shapes_and_types() -> None:
    one = torch.zeros(4)
    others = [torch.ones(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32)]
    assert tensors_sha256([one]) == tensors_sha256([one.clone()])
    assert len({tensors_sha256([tensor]) for tensor in (one, *others)}) == 4
