"""Known vulnerabilities of what is installed here, by pip-audit; says so where its database cannot be reached."""

import json
import subprocess
import sys

command = [
    sys.executable,
    "-m",
    "pip_audit",
    "--local",
    "--skip-editable",
    "--progress-spinner",
    "off",
    "--format",
    "json",
]
done = subprocess.run(command, capture_output=True, text=True)
try:
    packages = json.loads(done.stdout)["dependencies"]
except ValueError:
    packages, reason = [], (done.stderr.strip().splitlines() or ["no answer"])[-1]
else:
    reason = next((package["skip_reason"] for package in packages if "skip_reason" in package), "")
audited = [package for package in packages if "skip_reason" not in package]
found = [(package, fault) for package in audited for fault in package["vulns"]]
for package, fault in found:
    fixed = ", ".join(fault["fix_versions"]) or "no release yet"
    print(f"{package['name']} {package['version']}: {fault['id']}, fixed by {fixed}")
print(f"pip-audit: {len(audited)} of {len(packages)} packages audited, {len(found)} known vulnerabilities")
if not audited:
    print(f"pip-audit: the database cannot be reached from here, so nothing was audited ({reason})")
sys.exit(bool(found))
