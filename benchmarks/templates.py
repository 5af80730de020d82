"""Forms of the prompt side by side: how well a model learns from each in equal rows, and how fast it is read.

    python benchmarks/templates.py benchmarks/ml-100k/templates.json

Each form trains the CCF-LLM of configs/rating-demo.yaml (one stage, adapter and fusion together) on the same number of
rows with the same seed; AUC on the same valid rows. Test is not touched.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ccf_llm.data.rows import Rows
from ccf_llm.evaluation.metrics import auc
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.config import load_config
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.experiments.train import train_run
from ccf_llm.io.files import write_json
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.prompts.pack import plan_sequences
from ccf_llm.training.steps import sample_users

ROWS, MEASURED = 480, 480
FORMS = {
    "titles, request last": {"history_titles": True, "request_first": False},
    "titles, request first": {"history_titles": True, "request_first": True},
    "one token an item, request last": {"history_titles": False, "request_first": False},
    "one token an item, request first": {"history_titles": False, "request_first": True},
}


def main(path: Path) -> None:
    """Train and measure every form; the file grows with each."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, form in FORMS.items():
            found.append({"form": name, **measure(form, Path(folder) / name.replace(" ", "-"))})
            print(found[-1], flush=True)
            write_json(path, {"rows": ROWS, "measured": MEASURED, "seed": 0, "forms": found, "made": circumstances()})


def measure(form: dict[str, bool], folder: Path) -> dict[str, Any]:
    """One form: AUC on valid, rows scored per second, tokens."""
    settings = {f"prompt.template.{key}": value for key, value in form.items()}
    settings |= {
        "output": str(folder),
        "prompt.history.tokens": 200,
        "batch.sequence_tokens": 640,
        "stages.fusion.rows": ROWS,
        "stages.fusion.evaluations": 1,
        "stages.fusion.valid_rows": 240,
        "methods": "{ccf_llm: {stages: [fusion]}}",
    }
    config = load_config(Path("configs/rating-demo.yaml"), [f"{key}={value}" for key, value in settings.items()])
    begun = time.perf_counter()
    train_run(config)
    training = time.perf_counter() - begun
    model = CCFLLM.load(RunFolder(folder).model("ccf_llm"))
    rows = sample_users(open_split(config).rows("valid"), MEASURED, seed=1)
    begun = time.perf_counter()
    llm = model.scorer.language_scores(rows)
    scoring = time.perf_counter() - begun
    return {
        "valid_auc_llm": round(auc(rows.labels, llm), 4),
        "valid_auc_blended": round(auc(rows.labels, model.score_rows(rows)), 4),
        "rows_per_s": round(len(rows) / scoring, 2),
        "train_seconds": round(training, 1),
        **tokens(model, rows),
    }


def tokens(model: CCFLLM, rows: Rows) -> dict[str, float]:
    """Mean length of prefix and suffix."""
    network = model.network
    prompts = plan_sequences(rows, network.encoder, network.budget, max_rows=1)
    return {
        "prefix_tokens": round(sum(len(p.chain) for p in prompts) / len(prompts), 1),
        "suffix_tokens": round(sum(len(p.suffixes[0]) for p in prompts) / len(prompts), 1),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE.json")
    main(Path(sys.argv[1]))
