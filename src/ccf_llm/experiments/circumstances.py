"""How figures came about: when, with which commit, on what."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def circumstances() -> dict[str, Any]:
    """When, with which commit and on what figures were made."""
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(), "machine": _machine()}


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, with a + where it was changed; None outside one.

    Where the code came without its history, as into a container, `CCF_LLM_COMMIT` says which it is.
    """
    if stated := os.environ.get("CCF_LLM_COMMIT"):
        return stated
    here = Path(__file__).parent
    try:
        run = ["git", "-C", str(here)]
        commit = subprocess.run([*run, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*run, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _machine() -> dict[str, Any]:
    """What the figures were computed on, without its name."""
    return {
        "processor": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
