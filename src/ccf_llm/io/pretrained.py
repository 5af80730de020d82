"""How files of a language model are read that anyone may have made."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

SAFELY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""For every `from_pretrained`: no code out of the model's folder is run, nor is it asked whether to."""


def check_size(config: Any, weights: Iterable[Path]) -> None:
    """Raise `ValueError` where a configuration asks for more weights than its files can hold at a bit each."""
    text = config.get_text_config()
    inner = getattr(text, "intermediate_size", None)
    per_layer = inner if isinstance(inner, int) else text.hidden_size  # some have a list, some none
    asked = text.hidden_size * (text.vocab_size + text.num_hidden_layers * per_layer)
    if asked > 8 * sum(path.stat().st_size for path in weights):
        raise ValueError(f"its configuration asks for {asked:,} weights, which its files do not hold")
