"""The tutorial, as somebody follows it: every block in order, in an empty folder, over a tiny language model."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ccf_llm.cli import main
from live import free_port

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_every_block_of_the_tutorial(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    text = TUTORIAL.read_text(encoding="utf-8").replace("8766", str(free_port()))
    tiny = text.replace("model: smollm2-135m", f"model: {tiny_llm}").replace("layers: 12", "layers: 2")
    assert tiny != text
    blocks = re.findall(r"^```(python|sh|yaml)\n(.*?)^```$", tiny, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "sh", "yaml", "sh", "sh", "sh"]
    for language, body in blocks:
        if language == "python":
            exec(compile(body, "docs/tutorial.md", "exec"), {})
        elif language == "yaml":
            Path("games.yaml").write_text(body, encoding="utf-8")
        elif "curl" in body:
            asked = body.replace("curl -s ", "curl -s --fail-with-body -w '\\n' ")
            subprocess.run(["bash", "-ec", asked], check=True, timeout=300)
        else:
            for line in re.sub(r"\\\n\s*", "", body).splitlines():
                monkeypatch.setattr(sys, "argv", shlex.split(line))
                with pytest.raises(SystemExit) as end:
                    main()
                assert end.value.code == 0, line
    answers = capfd.readouterr().out.splitlines()[-3:]
    member, event, newcomer = map(json.loads, answers)
    assert Path("runs/games/report.html").is_file()
    assert len(member["items"]) == 3
    assert event == {"key": "m99-likes-chess", "duplicate": False}
    assert (newcomer["history"], len(newcomer["items"])) == (1, 3)
