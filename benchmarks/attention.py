"""How branches attend over a shared prefix: products of our own against PyTorch's fused attention and FlexAttention.

    python benchmarks/attention.py --out benchmarks/speed/attention.json
    python benchmarks/attention.py --device cuda --out ...

Each reads what a branch reads: its prefix, and itself up to the token. The fused kernel is given all of it as one mask,
prefix and branches side by side; FlexAttention a rule, compiled to blocks (on a CPU forwards alone, as PyTorch has it).
Milliseconds of one layer of SmolLM2-135M, the best of some turns, one kind after the other in each turn.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.io.files import write_json
from ccf_llm.llm.attention import _over_prefix, _unread_of_own

SHAPES = {
    "training, one slot an item": (3, 24, 5, 100),
    "training, titles": (3, 24, 15, 80),
    "a hundred candidates of one person": (1, 100, 5, 100),
    "long history": (1, 24, 15, 300),
}
"""B prefixes of C tokens with n branches of S tokens each, as (B, n, S, C)."""
G, R, D = 3, 3, 64
"""Key-value heads, queries to each, width: of SmolLM2-135M."""
TURNS = 5


def kinds(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> dict[str, Callable[[], Tensor]]:
    """What is timed, each (B, G, n, R, S, D) of the same random queries, keys and values."""
    B, n, S, C = shape

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(sizes, dtype=dtype, device=device, requires_grad=True)

    q, k, v = drawn(B, G, n, R, S, D), drawn(B, G, n, S, D), drawn(B, G, n, S, D)
    keys, values = drawn(B, G, C, D), drawn(B, G, C, D)
    unread = _unread_of_own(S, None, torch.device(device))
    own = torch.eye(n, dtype=torch.bool, device=device)[:, None, :, None] & ~unread[None, :, None, :]
    prefix = torch.ones(n * S, C, dtype=torch.bool, device=device)
    mask = torch.cat([prefix, own.reshape(n * S, n * S)], dim=1)

    def side_by_side() -> tuple[Tensor, Tensor, Tensor]:
        queries = q.permute(0, 1, 3, 2, 4, 5).reshape(B, G * R, n * S, D)
        both = ((keys, k), (values, v))
        return queries, *(torch.cat([one, other.reshape(B, G, n * S, D)], dim=2) for one, other in both)

    def apart(out: Tensor) -> Tensor:
        return out.view(B, G, R, n, S, D).permute(0, 1, 3, 2, 4, 5)

    def reads(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = key - C
        return (key < C) | ((place // S == query // S) & (place <= query))

    blocks = create_block_mask(reads, None, None, n * S, C + n * S, device=device)
    flex: Any = torch.compile(flex_attention, dynamic=False)
    return {
        "own products": lambda: _over_prefix(q, k, v, (keys, values), None, unread, D**-0.5, 0.0),
        "fused, with a mask": lambda: apart(F.scaled_dot_product_attention(*side_by_side(), mask, enable_gqa=True)),
        "FlexAttention": lambda: apart(flex(*side_by_side(), block_mask=blocks, enable_gqa=True)),
    }


def milliseconds(run: Callable[[], Tensor], back: bool, device: str) -> float:
    """Of one call, with the way back or without."""
    started = time.perf_counter()
    with torch.set_grad_enabled(back):
        out = run()
        if back:
            out.float().sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - started)


def measured(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> dict[str, dict[str, float]]:
    """By kind: ms forwards and with the way back, and how far it is from our own products."""
    found: dict[str, dict[str, float]] = {}
    runs = kinds(shape, dtype, device)
    expected = runs["own products"]().detach()
    for name, run in runs.items():
        with torch.no_grad():
            found[name] = {"differs_by": round(float((run() - expected).abs().max()), 6)}
    for back in (False, True):
        some = {name: run for name, run in runs.items() if not (back and device == "cpu" and name == "FlexAttention")}
        for turn in range(TURNS):
            for name, run in some.items():
                key, spent = "forth_and_back_ms" if back else "forth_ms", milliseconds(run, back, device)
                found[name][key] = spent if turn == 0 else min(found[name][key], spent)
    return {name: {key: round(value, 6) for key, value in one.items()} for name, one in found.items()}


def main() -> None:
    """Time all of it and write the figures."""
    parser = argparse.ArgumentParser(description="Branches over a shared prefix, by three kinds of attention.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    result: dict[str, Any] = {"made": circumstances(), "device": arguments.device, "shapes": {}}
    for name, shape in SHAPES.items():
        for dtype in (torch.float32, torch.bfloat16):
            figures = measured(shape, dtype, arguments.device)
            result["shapes"].setdefault(name, {"sizes": shape})[str(dtype).removeprefix("torch.")] = figures
            print(name, dtype, figures, flush=True)
    write_json(arguments.out, result)


if __name__ == "__main__":
    main()
