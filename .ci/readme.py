"""Run every command of the README, in order, as written: shell blocks in one shell, Python blocks by its `python`."""

import re
import subprocess
import sys
from pathlib import Path

text = Path("README.md").read_text(encoding="utf-8")
blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
if not any("make test" in body for _, body in blocks):
    sys.exit("README.md: found no block with 'make test'")
script = ["set -euo pipefail"]
for language, body in blocks:
    if language == "sh":
        for line in re.sub(r"\\\n\s*", "", body).splitlines():
            command = line.split("  #")[0].strip()
            if command:
                quoted = command.replace("'", "'\\''")
                script += [f"echo \"== $SECONDS s\"; echo '$ {quoted}'", command]
    else:
        script.append(f"echo '>>> a Python block'\npython - <<'PYTHON'\n{body}PYTHON")
sys.exit(subprocess.run(["bash", "-c", "\n".join(script)]).returncode)
