"""How long a run's stages took, and how long its main method takes to score the whole test part.

ccf-llm train configs/ml-1m-epoch.yaml --set data.source=FOLDER
python benchmarks/epoch.py runs/ml-1m-epoch benchmarks/ml-1m/epoch.json
"""

import sys
import time
from pathlib import Path

from ccf_llm.evaluation.metrics import auc, uauc
from ccf_llm.experiments.circumstances import circumstances
from ccf_llm.experiments.cost import peak_rss_mb
from ccf_llm.experiments.folder import RunFolder, open_split
from ccf_llm.io.files import read_json, write_json
from ccf_llm.model.ccfllm import CCFLLM


def main(run: Path, path: Path) -> None:
    """Score the test part once and write what was found."""
    folder = RunFolder(run)
    config = folder.load_config()
    rows = open_split(config).rows("test")
    model = CCFLLM.load(folder.model(config.main), device=config.llm.device)
    begun = time.perf_counter()
    scores = model.score_rows(rows)
    seconds = time.perf_counter() - begun
    stages = [
        {
            "stage": curve["stage"],
            "rows": curve["rows"],
            "minutes": round(curve["seconds"] / 60, 1),  # with the measurements on valid
            "valid_auc": [point["auc"] for point in curve["valid"]],
        }
        for curve in read_json(folder.training)
        if curve["method"] == config.main
    ]
    test = {
        "rows": len(rows),
        "minutes": round(seconds / 60, 1),
        "rows_per_s": round(len(rows) / seconds, 1),
        "auc": round(auc(rows.labels, scores), 4),
        "uauc": round(uauc(rows.users, rows.labels, scores)[0], 4),
    }
    settings = config.model_dump(mode="json", exclude={"data", "output"})
    found = {"stages": stages, "test": test, "peak_rss_mb": peak_rss_mb(), "config": settings, "made": circumstances()}
    write_json(path, found)
    print(stages, test, sep="\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} RUN FILE.json")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
