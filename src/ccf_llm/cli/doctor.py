"""`ccf-llm doctor`: what this machine has, and what to do about what is missing."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ccf_llm.cli.show import JsonOption, show

PACKAGES = ("ccf-llm", "torch", "transformers", "peft", "polars", "pydantic", "gguf")
ROOMY_GB = 2.0  # the demo: 0.1 for the wheel, 0.1 for the GGUF file, 0.54 for the converted model, and runs


def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, which device will be used, what is downloaded, and what to do next.

    Nothing is downloaded or changed. Example: [bold]ccf-llm doctor --json[/bold]
    """
    report: dict[str, Any] = {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "device": _device(),
        "cache": _cache(),
    }
    report["to_do"] = _advice(report)
    show(report, as_json=as_json)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    import torch

    from ccf_llm.llm.runtime import has_native_bf16

    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else "mps" if torch.backends.mps.is_available() else "cpu",
        "cpu_cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": has_native_bf16(torch.device("cuda" if cuda else "cpu")),
    }


def _cache() -> dict[str, Any]:
    import shutil

    from ccf_llm.data.named import NAMES, named_folder
    from ccf_llm.io.cache import cache_folder
    from ccf_llm.llm.source import ALIASES, is_cached

    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {
        "folder": str(folder),
        "writable": existing.is_dir() and os.access(existing, os.W_OK),
        "free_GB": round(shutil.disk_usage(existing).free / 1e9, 1),
        "data": {name: (named_folder(name) / "schema.json").exists() for name in NAMES},
        "models": {alias: is_cached(alias) for alias in ALIASES},
        "terms": {
            name: f"accepted: {alias.terms.title}"
            if alias.terms.accepted
            else "; it ".join(filter(None, (f"not accepted: {alias.terms.how_to_accept}", alias.worth)))
            for name, alias in ALIASES.items()
            if alias.terms is not None
        },
    }


def _advice(report: dict[str, Any]) -> dict[str, str]:
    """What is missing -> the remedy."""
    from ccf_llm.llm.source import ALIASES

    advice = {}
    cache = report["cache"]
    for name, present in cache["data"].items():
        if not present:
            advice[name] = f"ccf-llm data fetch {name}"
    for name, present in cache["models"].items():
        alias = ALIASES[name]
        wanted = alias.terms is None or alias.terms.accepted
        if wanted and not present:
            advice[name] = f"comes by itself on first use ({alias.megabytes} MB, once; then no network is needed)"
    if not cache["writable"]:
        advice["cache folder"] = "cannot be written: set CCF_LLM_CACHE to a folder that can"
    if cache["free_GB"] < ROOMY_GB:
        advice["disk"] = f"under {ROOMY_GB:g} GB free: make room, or set CCF_LLM_CACHE to a folder on another disk"
    missing = [name for name, found in report["versions"].items() if found is None]
    if missing:
        advice["packages"] = f"pip install {' '.join(missing)}"
    if not report["device"]["native_bf16"]:
        advice["bf16"] = "this machine only emulates it: train in fp32"
    return advice or {"nothing": "all is here"}
