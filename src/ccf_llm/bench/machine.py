"""What this machine can do at best, and how long a call takes."""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

SHAPES = ((2048, 2048, 2048), (1024, 1024, 1024), (1024, 1536, 576), (1024, 576, 1536))


def matmul_peak(dtype: torch.dtype, device: torch.device, seconds: float = 1.0) -> float:
    """Floating-point operations a second of the fastest matrix product found, large square ones and layer shapes."""
    best = 0.0
    for rows, inner, columns in SHAPES:
        x = torch.randn(rows, inner, dtype=dtype, device=device)
        weight = torch.randn(columns, inner, dtype=dtype, device=device)
        shortest = fastest(partial(F.linear, x, weight), device, seconds=seconds / len(SHAPES))
        best = max(best, 2 * rows * inner * columns / shortest)
    return best


def fastest(work: Callable[[], object], device: torch.device, *, seconds: float = 0.0, repeats: int = 2) -> float:
    """Shortest time of a call in seconds, of at least `repeats` after one to warm up, for at least `seconds`."""
    work()
    best, begun, done = float("inf"), time.perf_counter(), 0
    while done < repeats or time.perf_counter() - begun < seconds:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best, done = min(best, time.perf_counter() - started), done + 1
    return best
