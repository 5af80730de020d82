"""What goes wrong with Ray is one line, and nothing imports it that was not asked to."""

import subprocess
import sys
from pathlib import Path

import pytest

from ccf_llm.cli import main
from ccf_llm.distributed.cluster import connected
from ccf_llm.errors import CCFError
from live import free_port

RECOMMEND = ("recommend", "{run}", "--all-users", "-o", "best.parquet")
RAY = ("--engine", "ray")


def said(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that ends with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["ccf-llm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out, line = capsys.readouterr()
    assert (stop.value.code, out, line.count("\n")) == (2, "", 1)
    return line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "spark"), "--engine spark: choose ray, or leave it out"),
        (("--workers", "2"), "--workers has no meaning without --engine ray; give both or neither"),
        (("--address", "auto"), "--address has no meaning without --engine ray"),
        ((*RAY, "--address", "127.0.0.1:{free}"), "--address 127.0.0.1:{free}: nothing answers there"),
        ((*RAY, "--address", "nobody.invalid:6379"), "--address nobody.invalid:6379: nothing answers there"),
        ((*RAY, "--address", "ray://x:10001"), "--address ray://x:10001: not HOST:PORT; start a cluster by `ray start"),
        ((*RAY, "--address", "cluster"), "--address cluster: Ray: Invalid address format"),
    ],
)
def test_what_cannot_be_done_by_ray(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    words = {"run": str(tmp_path), "free": str(free_port())}
    command = tuple(word.format(**words) for word in (*RECOMMEND, *options))
    assert message.format(**words) in said(command, monkeypatch, capsys)
    assert list(tmp_path.iterdir()) == []


def test_for_one_person_there_is_nothing_to_share_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--engine has no meaning with --user" in said(("recommend", "x", "--user", "1", *RAY), monkeypatch, capsys)


@pytest.mark.parametrize("command", [("recommend", "x", "--all-users", "-o", "y", *RAY), ("serve", "x", *RAY)])
def test_without_the_extra_one_line_says_what_to_install(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = "error: --engine ray: ray is not installed; pip install 'ccf-llm[ray]'\n"
    assert said(command, monkeypatch, capsys) == expected


def test_nothing_imports_ray_unless_asked() -> None:
    modules = "ccf_llm.cli, ccf_llm.distributed.cluster, ccf_llm.distributed.recommend, ccf_llm.distributed.serve"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.partition('.')[0] == 'ray'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


LOST = """
import sys, time
import psutil
from ccf_llm.distributed import cluster
from ccf_llm.errors import CCFError

cluster.GONE_SECONDS = 2
try:
    with cluster.connected("local", cpus=1):
        (head,) = [child for child in psutil.Process().children(recursive=True) if child.name() == "gcs_server"]
        head.kill()
        time.sleep(120)
except CCFError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_a_cluster_that_is_lost_is_one_line() -> None:
    pytest.importorskip("ray")
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", LOST], capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("the Ray cluster is lost: ")
    assert last.endswith("is silent; start it again (`ray start --head`) and run the same command")


def test_a_ray_that_does_not_start_is_tried_again_and_then_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    tries = []

    def too_slow(**asked: object) -> None:
        tries.append(asked)
        raise Exception("The current node timed out during startup. ")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", too_slow)
    with pytest.raises(CCFError, match=r"^--address local: Ray: The current node timed out"), connected():
        pytest.fail("there is no Ray")
    assert tries == [tries[0]] * 3


TOO_SLOW_ONCE = """
import time, types
import psutil
from ccf_llm.distributed import cluster
from ray._private import node, services

clock = types.SimpleNamespace(**vars(time))
jumps = iter([0, 100])
clock.monotonic = lambda: next(jumps, time.monotonic())
answers = iter([False])

def get_node(*given, known=services.get_node):
    if not next(answers, True):
        raise RuntimeError("not yet")
    return known(*given)

node.time, services.get_node = clock, get_node
with cluster.connected("local", cpus=1):
    names = [child.name() for child in psutil.Process().children(recursive=True)]
    print(next(jumps, "slow once"), names.count("gcs_server"), names.count("raylet"))
"""


@pytest.mark.slow
def test_what_a_slow_start_leaves_is_ended_before_the_next_try() -> None:
    pytest.importorskip("ray")
    command = [sys.executable, "-W", "ignore", "-c", TOO_SLOW_ONCE]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.stdout == "slow once 1 1\n", run.stderr
