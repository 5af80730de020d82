"""Tensors in safetensors files, with errors that name the file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ccf_llm.errors import CCFError, one_line
from ccf_llm.io.hashing import pieces_sha256


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a file that `atomic_file` or `atomic_folder` has given."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)


def read_tensors(
    path: Path, *, remedy: str = "save the model again", device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """Read a file's tensors; a missing, cut or damaged one is a `CCFError` that names it and says the `remedy`."""
    try:
        return load_file(path, device=str(device))
    except FileNotFoundError:
        raise CCFError(f"{path}: no such file; {remedy}") from None
    except (SafetensorError, OSError) as error:
        raise CCFError(f"{path}: cut or damaged ({one_line(error)}); {remedy}") from None


def find_tensor(folder: Path, name: str) -> Tensor | None:
    """The tensor of that name in one of the folder's files, as it is stored there; None where none has it."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118  (not a dict)
                found: Tensor = file.get_tensor(name)
                return found
    return None


@torch.no_grad()
def fill(targets: Mapping[str, Tensor], values: Mapping[str, Tensor], path: Path, *, remedy: str) -> None:
    """Copy values, as read from `path`, into tensors of the same names and shapes.

    Raises:
        CCFError: a name or a shape differs; no tensor has been changed then.
    """
    if targets.keys() != values.keys():
        raise CCFError(f"{path}: does not fit this model ({sorted(targets.keys() ^ values.keys())[0]}); {remedy}")
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise CCFError(
                f"{path}: '{name}' has shape {tuple(values[name].shape)}, not {tuple(target.shape)}; {remedy}"
            )
    for name, target in targets.items():
        target.copy_(values[name])


def tensors_sha256(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over the shapes, types and bytes of tensors, in order."""

    def pieces() -> Iterator[bytes]:
        for tensor in tensors:
            yield f"{tuple(tensor.shape)} {tensor.dtype}".encode()
            yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()

    return pieces_sha256(pieces())
