"""Wordings of the request side by side, for each base model: what a model learns from each in equal lists.

    python benchmarks/wording.py benchmarks/ranking/wording.json

Each trains the CCF-LLM of configs/ranking-short.yaml (1,200 lists, 6 layers, the slot answers) with the same seed;
NDCG@10 on the same 200 people of valid, with the retriever's score and of the language model alone. Test is not
touched. A wording is not a setting: a saved model is read by the words that it was trained with.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.folder import RunFolder
from ccf_llm.experiments.train import train_run
from ccf_llm.io.files import read_json, write_json
from ccf_llm.prompts.template import HybridTemplate

MODELS = ("smollm2-135m", "gemma3-270m")
WORDINGS = {
    "as it is": HybridTemplate().request,
    "films": "Will the user like the film? Answer Yes or No.",
    "TALLRec": "Given the films that the user liked, identify whether the user will like the target film by answering"
    ' with "Yes." or "No.".',
    "none": "",
}


def main(path: Path) -> None:
    """Train and measure every wording with every model; the file grows with each."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            for name, request in WORDINGS.items():
                found.append({"model": model, "wording": name, "request": request})
                found[-1] |= measure(model, request, Path(folder) / f"{model}-{len(found)}")
                print(found[-1], flush=True)
                write_json(path, {"seed": 0, "part": "valid", "wordings": found, "made": circumstances()})


def measure(model: str, request: str, folder: Path) -> dict[str, float]:
    """NDCG@10 of the one state that is measured after training."""
    settings = {"output": folder, "llm.model": model, "ranking.trees": "false", "cf.compare": "[]", "main": "ccf_llm"}
    config = load_config(Path("configs/ranking-short.yaml"), [f"{key}={value}" for key, value in settings.items()])
    with patch.object(HybridTemplate, "request", PropertyMock(return_value=request)):
        train_run(config, only="ccf_llm")
    (stage,) = read_json(RunFolder(folder).training)
    before, after = stage["valid"]
    figures = {"retriever": before["ndcg@10"], "ndcg@10": after["ndcg@10"], "llm_ndcg@10": after["llm_ndcg@10"]}
    return {name: round(figure, 4) for name, figure in figures.items()}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE.json")
    main(Path(sys.argv[1]))
