"""Whether PyTorch's compiler pays: a language model's pass as it is made, and with each of its layers compiled.

    python benchmarks/compiled.py --out benchmarks/speed/compiled.json
    python benchmarks/compiled.py --device cuda --out ...

A pass of scoring (adapter merged, no gradients) and one of training (forwards and back, adapter alone learning), with
branches over recorded prefixes as the product has them. A layer is compiled once for a size and kind of pass
(`dynamic=False`) or once for all sizes (`dynamic=True`). Milliseconds are of the best of some turns, one kind after the
other in each turn; the compiler's own time stands beside them. bf16 is timed where the processor has it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json
from ccf_llm.llm.attention import Branches, Prefix
from ccf_llm.llm.base import LanguageModel
from ccf_llm.llm.runtime import has_native_bf16
from ccf_llm.llm.settings import LoRAConfig
from ccf_llm.llm.source import resolve_model

LAYERS = 4
"""Of 30: all are alike, and each takes the compiler some ten seconds."""
LISTS = {"training, one slot an item": (3, 24, 5, 100)}
SHAPES = {"scoring": LISTS | {"a hundred candidates of one person": (1, 100, 5, 100)}, "training": LISTS}
"""B prefixes of C tokens with n branches of S tokens each, as (B, n, S, C)."""
TURNS = 5


def model_of(dtype: torch.dtype, device: str, dynamic: bool | None) -> LanguageModel:
    """The default base model with an adapter on all linear layers; `dynamic` None: not compiled."""
    lora = LoRAConfig(rank=8, targets="all-linear", dropout=0.0)
    model = LanguageModel(resolve_model("smollm2-135m"), dtype, lora, 0, layers=LAYERS).to(device)
    if dynamic is not None:
        for layer in model.body.get_base_model().layers:
            layer.compile(dynamic=dynamic)
    return model


def scoring(model: LanguageModel, shape: tuple[int, int, int, int], device: str) -> Callable[[], None]:
    """A pass over the branches, whose prefixes were read before."""
    chains, targets, first, then = _tokens(model, shape, device)
    model.eval()
    model.products.for_scoring()
    prefix = Prefix()
    chains.record, targets.prefix = prefix, prefix
    with torch.no_grad():
        model(first, _places(shape, device)[0], chains)

    def run() -> None:
        with torch.no_grad():
            model(then, _places(shape, device)[1], targets)

    return run


def training(model: LanguageModel, shape: tuple[int, int, int, int], device: str) -> Callable[[], None]:
    """Prefixes and branches in one pass, and the way back to the adapter."""
    chains, targets, first, then = _tokens(model, shape, device)
    for parameter in model.adapter().values():
        parameter.requires_grad_(True)
    model.train()
    places = _places(shape, device)

    def run() -> None:
        model(torch.cat([first, then]), torch.cat(places), (chains, targets)).float().square().mean().backward()
        for parameter in model.adapter().values():
            parameter.grad = None

    return run


def _places(shape: tuple[int, int, int, int], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the prefixes' tokens, and of the branches'."""
    B, n, S, C = shape
    return torch.arange(C, device=device).repeat(B), torch.arange(C, C + S, device=device).repeat(B * n)


def _tokens(
    model: LanguageModel, shape: tuple[int, int, int, int], device: str
) -> tuple[Branches, Branches, torch.Tensor, torch.Tensor]:
    """Where the tokens of prefixes and branches lie, and random embeddings of both."""
    B, n, S, C = shape
    drawn = torch.Generator().manual_seed(0)
    first, then = (
        (torch.randn(tokens, model.width, generator=drawn) * model.token_norm / model.width**0.5).to(device)
        for tokens in (B * C, B * n * S)
    )
    chain, branch = (torch.arange(B * m * T, device=device).view(B, m, T) for m, T in ((1, C), (n, S)))
    return Branches(chain, chain.flatten()), Branches(branch, branch.flatten()), first, then


def measured(
    make: Any, shape: tuple[int, int, int, int], dtype: torch.dtype, device: str
) -> dict[str, dict[str, float]]:
    """By kind: ms of the best turn, and seconds of the first, in which the compiler works."""
    found: dict[str, dict[str, float]] = {}
    runs = {
        name: make(model_of(dtype, device, dynamic), shape, device)
        for name, dynamic in {"as made": None, "compiled": False, "compiled for all sizes": True}.items()
    }
    for name, run in runs.items():
        found[name] = {"first_s": milliseconds(run, device) / 1e3}
    for turn in range(TURNS):
        for name, run in runs.items():
            spent = milliseconds(run, device)
            found[name]["ms"] = spent if turn == 0 else min(found[name]["ms"], spent)
    return {name: {key: round(value, 3) for key, value in one.items()} for name, one in found.items()}


def milliseconds(run: Callable[[], None], device: str) -> float:
    """Of one call."""
    started = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    """Time all of it and write the figures."""
    parser = argparse.ArgumentParser(description="A language model's pass, compiled and not.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch._dynamo.config.recompile_limit = 256  # of one piece of code, which all layers share
    result: dict[str, Any] = {"made": circumstances(), "device": arguments.device, "passes": {}}
    for make in (scoring, training):
        for name, shape in SHAPES[make.__name__].items():
            for dtype in (torch.float32, torch.bfloat16)[: 1 + has_native_bf16(torch.device(arguments.device))]:
                figures = measured(make, shape, dtype, arguments.device)
                kind = result["passes"].setdefault(make.__name__, {}).setdefault(name, {"sizes": shape})
                kind[str(dtype).removeprefix("torch.")] = figures
                print(make.__name__, name, dtype, figures, flush=True)
                write_json(arguments.out, result)


if __name__ == "__main__":
    main()
