"""How files of a language model are read that anyone may have made."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ccf_llm.errors import CCFError

SAFELY: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""For every `from_pretrained`: no code out of the model's folder is run, nor is it asked whether to."""


def check_size(config: Any, weights: Iterable[Path], what: str) -> None:
    """Raise `CCFError` where a configuration asks for more weights than its files can hold at a bit each."""
    text = config.get_text_config()
    per_layer = getattr(text, "intermediate_size", None) or text.hidden_size
    asked = text.hidden_size * (text.vocab_size + text.num_hidden_layers * per_layer)
    if asked > 8 * sum(path.stat().st_size for path in weights):
        raise CCFError(
            f"{what}: its configuration asks for {asked:,} weights, which its files do not hold; get it again"
        )
