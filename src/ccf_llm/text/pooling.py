"""How a sentence-transformers folder makes one vector of a text's tokens, by its own files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ccf_llm.errors import CCFError
from ccf_llm.io.files import read_json

KNOWN = {"Transformer", "Pooling", "Normalize"}
MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "mean": "mean", "cls": "cls"}


@dataclass(frozen=True)
class Pooling:
    """What stands in modules.json and beside it; the defaults are those of a folder without that file."""

    folder: Path
    """Of the transformer."""
    mode: str = "mean"
    """`mean` of a text's last hidden states, or `cls`, the first of them."""
    most_tokens: int | None = None
    """Of a text; what is longer is cut."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read a folder; raises `CCFError` where it makes its vectors in another way than these."""
        if not (folder / "modules.json").is_file():
            return cls(folder)
        modules: list[dict[str, Any]] = read_json(folder / "modules.json")
        paths = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
        further = sorted(paths.keys() - KNOWN)
        if further or not {"Transformer", "Pooling"} <= paths.keys():
            what = further[0] if further else "no Transformer and Pooling"
            raise CCFError(f"{folder / 'modules.json'}: {what}; take an encoder of Transformer, Pooling and Normalize")
        config = read_json(paths["Pooling"] / "config.json")
        on = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
        named = [str(config["pooling_mode"])] if "pooling_mode" in config else on  # as younger versions write it
        if len(named) != 1 or named[0] not in MODES:
            raise CCFError(
                f"{paths['Pooling'] / 'config.json'}: {', '.join(named) or 'no mode'}; take an encoder that pools by "
                "the mean or by cls"
            )
        own = paths["Transformer"] / "sentence_bert_config.json"
        most = read_json(own).get("max_seq_length") if own.is_file() else None
        return cls(paths["Transformer"], MODES[named[0]], most)
