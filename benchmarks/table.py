"""Print the comparison of result files (metrics.json of several seeds) as a Markdown table.

    python benchmarks/table.py benchmarks/ml-100k/seed-*.json

Each figure is the mean over the seeds; after AUC and UAUC stands the standard deviation where there are several.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

NAMES = {
    "item_user_mean": "item + user mean",
    "mf": "matrix factorisation (MF)",
    "lightgcn": "LightGCN",
    "sasrec": "SASRec",
    "din": "DIN",
    "gbm": "boosted trees on CF features",
    "gbm_words": "boosted trees on CF features and words",
    "llm_text": "LLM, text only (LoRA)",
    "cf_injection": "LLM, CF embeddings alone in the slots",
    "late_fusion": "MF + text-only LLM, blended",
    "ccf_llm": "**CCF-LLM**",
}


def table(files: list[Path]) -> str:
    """The table of all methods that occur in every file, best AUC first."""
    runs: list[dict[str, Any]] = [json.loads(file.read_text(encoding="utf-8"))["models"] for file in files]
    methods = [name for name in NAMES if all(name in run for run in runs)]
    methods.sort(key=lambda name: -statistics.mean(run[name]["auc"] for run in runs))
    lines = [
        "| method | AUC | UAUC | AUC, warm | AUC, cold | log loss | ahead of MF in AUC (95 % interval), by seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in methods:
        rows = [run[name] for run in runs]
        slices = [[row["slices"][part]["auc"] for row in rows] for part in ("warm", "cold")]
        cells = [
            NAMES[name],
            spread([row["auc"] for row in rows]),
            spread([row["uauc"] for row in rows]),
            *(f"{statistics.mean(values):.4f}" for values in slices),
            f"{statistics.mean(row['log_loss'] for row in rows):.4f}",
            "; ".join(difference(row) for row in rows) if name != "mf" else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """`mean ± standard deviation`, the latter where there are several values."""
    mean = f"{statistics.mean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.4f}"


def difference(row: dict[str, Any]) -> str:
    """`+.012 (+.004 to +.020)`."""
    paired = row["diff"]["mf"]
    low, high = paired["auc_ci"]
    return f"{paired['auc']:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give one or more metrics.json files")
    print(table([Path(argument) for argument in sys.argv[1:]]))
