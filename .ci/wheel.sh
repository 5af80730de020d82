#!/usr/bin/env bash
# The wheel, where nothing else of the package is: build it by way of the source distribution, install it beside its core
# dependencies alone (those that .venv has; no extra, nothing is fetched) and run the main commands in an empty folder.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD work=$(mktemp -d /tmp/ccf-llm-wheel-XXXXXX)
trap 'rm -rf "$work"' EXIT

.venv/bin/python -m build --outdir "$work/dist" . > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
.venv/bin/python -m venv --without-pip "$work/env"
python=$work/env/bin/python
pip() { .venv/bin/python -m pip --python "$python" "$@"; }
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python .ci/link_core.py "$site"
pip install --quiet --no-index --no-deps "$work"/dist/*.whl
pip check

files() { (cd "$1" && find . -type f ! -name '*.pyc' | LC_ALL=C sort); }
diff <(files src/ccf_llm) <(files "$site/ccf_llm")  # templates, pages and style too
unset PYTHONPATH
cd "$work"
"$python" - <<'PYTHON'
import pkgutil
import re
from importlib import import_module
from importlib.metadata import requires

import ccf_llm

extras = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in requires("ccf-llm") if "extra ==" in line}
for module in pkgutil.walk_packages(ccf_llm.__path__, "ccf_llm."):
    if module.name.startswith("ccf_llm.serving"):
        continue
    try:
        import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name not in extras:
            raise
        print(f"{module.name} needs {error.name}, of an extra")
PYTHON

say() {
  echo "\$ ccf-llm $*"
  "$work/env/bin/ccf-llm" "$@" > output 2>&1 || { cat output; return 1; }
}
books=$root/examples/books
say --version
say --help
say doctor
say data import "$books/ratings.csv" --items "$books/books.csv" --item-column book_id -o books
say data describe books
say init books --minutes 2 -o books.yaml
# One layer, a few lists: whether it works, not how well.
say train books.yaml --set output=run --set llm.layers=1 --set cf.folds=0 --set ranking.people=20 \
  --set stages.lists.rows=96 --set stages.lists.valid_rows=1000
say evaluate run
say recommend run --liked "Solaris" -k 3
say report run
grep -q '<style>' run/report.html
if say serve run; then echo "it serves without its extra"; exit 1; fi
grep -q "pip install 'ccf-llm\[serve\]'" output
