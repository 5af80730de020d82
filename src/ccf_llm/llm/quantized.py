"""Weights of linear layers in 8 or 4 bits, by torchao: they do not learn, and are dense for one product at a time."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ccf_llm.errors import CCFError, one_line
from ccf_llm.llm.settings import Quantization

BLOCK, SCALES = 64, 256
"""Of NF4: so many weights have one scale, and at most so many scales one of their own (the sizes of QLoRA)."""


def import_torchao() -> Any:
    """torchao's quantization; the library is an extra, and a `CCFError` says how to get it."""
    try:
        import torchao.quantization as library
    except ImportError as error:
        reason = one_line(error)
        raise CCFError(f"llm.quantize: torchao cannot be loaded ({reason}); pip install 'ccf-llm[quantize]'") from None
    return library


def quantize(weight: Tensor, kind: Quantization) -> Tensor:
    """A weight (out, in) in 8 bits with a scale for each row, or in the 4 of NF4 (Dettmers et al. 2023).

    Raises:
        CCFError: torchao is not installed, or the weight cannot be cut into the blocks of NF4.
    """
    library = import_torchao()
    if kind == "int8":
        eight: Tensor = library.Int8Tensor.from_hp(weight, library.PerRow())
        return eight
    scales = math.gcd(weight.numel() // BLOCK, SCALES)
    if weight.numel() % BLOCK or scales == 1:
        raise CCFError(f"llm.quantize: nf4 does not fit a layer of {tuple(weight.shape)} weights; take int8")
    four: Tensor = library.to_nf4(weight, BLOCK, scales)
    return four


def is_quantized(weight: Tensor) -> bool:
    """Whether a weight is one that `quantize` has made."""
    return is_traceable_wrapper_subclass(weight)


def quantized_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x W' + b, with a gradient to x only."""

    def product(x: Tensor) -> Tensor:
        out: Tensor = _QuantizedProduct.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out

    return product


class _QuantizedProduct(torch.autograd.Function):
    """x W' + b; torchao's own products keep the dense weights of all layers for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return F.linear(x, _dense(weight, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0] @ _dense(ctx.weight, gradients[0].dtype), None, None


def _dense(weight: Any, dtype: torch.dtype) -> Tensor:
    dense: Tensor = weight.to(dtype) if hasattr(weight, "nf4") else weight.dequantize(dtype)
    return dense
