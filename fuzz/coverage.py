"""Coverage-guided fuzzing of one target: bytes that reach new lines are kept and changed further.

    pip install '.[fuzz]'
    python fuzz/coverage.py tables --seconds 3600 --corpus fuzz-corpus

A finding ends it with a traceback and leaves its input in the corpus' folder (`crash-*`); `--again FILE` repeats one.
`tests/test_fuzz.py` runs the same targets with Hypothesis, some seconds each.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ccf_llm"], enable_loader_override=False):
    from targets import TARGETS, hold


def main() -> None:
    """Fuzz the target that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"))
    parser.add_argument("--again", type=Path, help="a file of the corpus")
    told = parser.parse_args()
    corpus = told.corpus / told.target
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        target, examples = TARGETS[told.target](Path(scratch))

        def one(data: bytes) -> None:
            if data:
                hold(target, data[1:], data[0])

        if told.again:
            one(told.again.read_bytes())
            return
        for number, example in enumerate(examples):
            (corpus / f"sound-{number}").write_bytes(bytes([number]) + example)
        options = [
            f"-max_total_time={told.seconds}",
            f"-artifact_prefix={corpus}/",
            "-rss_limit_mb=4096",
            "-timeout=60",
        ]
        longest = 2 * max(map(len, examples)) + 64
        atheris.Setup([sys.argv[0], *options, f"-max_len={longest}", str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
