"""train, evaluate, recommend and report, end to end on a tiny model, as a shell would call them."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tiny
from ccf_llm.cli import main
from ccf_llm.cli.answer import Answer
from ccf_llm.data.dataset import Dataset
from ccf_llm.experiments.config import CF_METHODS
from ccf_llm.io.files import only_one, read_json
from faults import small_disk

Capture = pytest.CaptureFixture[str]
METHODS = {"item_user_mean", "mf", "llm_text", "ccf_llm"}


def call(*arguments: object) -> int:
    """The exit code of a command, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ccf-llm", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def folder(tiny_llm: Path, tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds data and run.yaml; the run itself is in `run/`."""
    folder = tmp_path_factory.mktemp("end-to-end")
    tiny_data.save(folder / "data")
    (folder / "run.yaml").write_text(json.dumps(tiny.run_values(tiny_llm, folder)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """The run, trained and evaluated."""
    assert call("train", folder / "run.yaml") == 0
    assert call("evaluate", folder / "run") == 0
    return folder / "run"


def test_train_leaves_models_and_curves(run: Path) -> None:
    assert {path.name for path in (run / "models").iterdir()} == {"llm_text", "ccf_llm"}
    curves = read_json(run / "training.json")
    assert [(curve["method"], curve["stage"]) for curve in curves] == [("llm_text", "text"), ("ccf_llm", "fusion")]
    assert all(curve["done"] and curve["rows"] >= 160 and curve["valid"] for curve in curves)
    suffixes = {path.suffix for path in run.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".parquet", ".md", ".yaml"}
    assert not list(run.rglob(".*"))  # nothing half-written


def test_train_again_does_nothing_anew(run: Path, folder: Path, capfd: Capture) -> None:
    before = {path: path.read_bytes() for path in run.rglob("state.safetensors")}
    assert call("train", folder / "run.yaml") == 0
    assert "step" not in capfd.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("state.safetensors")}


def test_metrics_have_the_agreed_form(run: Path) -> None:
    metrics = read_json(run / "metrics.json")
    assert set(metrics) >= {"dataset", "split", "seed", "rows", "models", "made", "config"}
    assert (metrics["dataset"], metrics["seed"]) == ("tiny", 0)
    assert metrics["rows"]["test"] > 100
    assert set(metrics["models"]) >= METHODS
    for figures in metrics["models"].values():
        assert set(figures) >= {"auc", "uauc", "auc_ci", "uauc_users", "log_loss", "diff"}
        low, high = figures["auc_ci"]
        assert 0 <= low <= figures["auc"] <= high <= 1
    assert metrics["models"]["mf"]["auc"] > 0.8  # the tiny data can be learned
    assert str(Path.home()) not in json.dumps(metrics["made"])


def test_a_stage_on_top_of_another_is_no_worse_on_valid(run: Path) -> None:
    for curve in read_json(run / "training.json"):
        assert curve["best"] >= curve["valid"][0]["auc"] - 1e-5


def test_evaluate_prints_a_table_and_writes_where_asked(run: Path, tmp_path: Path, capsys: Capture) -> None:
    assert call("evaluate", run, "--part", "valid", "--json", tmp_path / "out.json") == 0
    assert "ccf_llm" in capsys.readouterr().out
    assert "valid" in read_json(tmp_path / "out.json")["rows"]
    assert read_json(run / "metrics-valid.json") == read_json(tmp_path / "out.json")
    assert "test" in read_json(run / "metrics.json")["rows"]


@pytest.mark.parametrize("method", [method for method in CF_METHODS if method != "l3ae"])
def test_one_method_on_any_data(method: str, folder: Path, tmp_path: Path) -> None:
    assert call("evaluate", "--method", method, "--data", folder / "data", "--json", tmp_path / "out.json") == 0
    metrics = read_json(tmp_path / "out.json")
    assert list(metrics["models"]) == [method]
    assert 0 < metrics["models"][method]["auc"] < 1


def test_a_method_that_reads_words_needs_a_run(folder: Path, capfd: Capture) -> None:
    assert call("evaluate", "--method", "l3ae", "--data", folder / "data") == 2
    assert (
        "error: words: l3ae reads the items' words; give their vectors (cf.prior.words in a run)"
        in capfd.readouterr().err
    )


def test_compare_writes_one_table(folder: Path, tmp_path: Path, capfd: Capture) -> None:
    place = ["--set", f"output={tmp_path}/run", "--results", tmp_path / "results"]
    assert (
        call("compare", folder / "run.yaml", "--seeds", "0,1", "--only", "mf", "--only", "item_user_mean", *place) == 0
    )
    printed = capfd.readouterr()
    assert printed.out.startswith("table: ")
    assert "mf, seed 1: AUC" in printed.err
    kept = {path.relative_to(tmp_path / "results").as_posix() for path in (tmp_path / "results").rglob("*.*")}
    figures = {
        f"{row}/seed-{seed}.{kind}" for row in ("mf", "item_user_mean") for seed in (0, 1) for kind in ("json", "npy")
    }
    assert kept == {"table.json", "table.md", "table.html", "rows.png", "time.png"} | figures
    table = read_json(tmp_path / "results" / "table.json")
    assert [row["seeds"] for row in table["rows"]] == [[0, 1], [0, 1]]


def test_recommend_for_a_user_and_for_a_person(run: Path, folder: Path, capsys: Capture) -> None:
    assert call("recommend", run, "--user", "u1", "-k", 3, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["for"] == "user u1"
    title = Dataset.load(folder / "data").items["title"][2]
    assert call("recommend", run, "--liked", title, "-k", 4, "--keep", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["history"] == [title]
    assert [item["rank"] for item in found["items"]] == [1, 2, 3, 4]
    assert call("recommend", run, "--liked", title, "-k", 4) == 0
    assert found["items"][0]["title"][:8] in capsys.readouterr().out


def test_recommend_with_every_filter_order_and_reasons(run: Path, capsys: Capture, tmp_path: Path) -> None:
    def ask(*options: object) -> dict[str, Any]:
        assert call("recommend", run, *options, "--json") == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def ids(*options: object) -> list[str]:
        return [item["item_id"] for item in ask(*options)["items"]]

    person = ("--liked", "Night", "-k", 24)
    (tmp_path / "candidates.csv").write_text("item_id\ni5\ni7\n")
    assert sorted(ids(*person, "--candidates", tmp_path / "candidates.csv", "--candidate", "i8")) == ["i5", "i7", "i8"]
    assert "i5" not in ids(*person, "--deny", "i5")
    assert all(int(item[1:]) % 2 for item in ids(*person, "--category", "drama"))
    assert call("recommend", run, *person, "--about", "age") == 2
    assert "--about age: write it as COLUMN=VALUE, such as age=34" in capsys.readouterr().err
    assert call("recommend", run, *person, "--about", "age=34") == 2
    assert "about: 'age' is not told; this model reads nothing of users" in capsys.readouterr().err
    assert call("recommend", run, "--user", "u1", "--about", "age=34") == 2
    assert "--about has no meaning with --user" in capsys.readouterr().err
    by_cf, by_text = (ask(*person, "--order", order)["items"] for order in ("cf", "text"))
    assert (
        [item["cf_rank"] for item in by_cf] == [item["text_rank"] for item in by_text] == list(range(1, len(by_cf) + 1))
    )
    assert by_text[0]["probability"] is None
    by_next = ask("--liked", near_title(run, "i3"), "-k", 4, "--order", "next")["items"]
    assert [int(item["item_id"][1:]) % 2 for item in by_next] == [1] * 4  # liked by the same people
    assert {item["probability"] for item in by_next} == {None}
    assert ids(*person, "--diversity", 0.9) != ids(*person)
    assert len(ids(*person, "--one-edition")) == len(ids(*person))  # every title is another one
    assert len(ids("--user", "u1", "-k", 24, "--keep-seen")) == tiny.N_ITEMS
    reasoned = ask("--liked", "Night", "--liked", "Dawn", "-k", 24, "--why")["items"]
    effects = [reason["effect"] for item in reasoned for reason in item["reasons"]]
    assert 0 < len(effects) < 2 * len(reasoned)
    assert min(effects) > 0
    assert call("recommend", run, "--liked", "Night", "-k", 2, "--why") == 0
    assert "because" in capsys.readouterr().out
    assert call("recommend", run, "--liked", "Night", "-k", 2, "--order", "text") == 0
    assert "score" in capsys.readouterr().out
    assert call("recommend", run, "--similar-to", "i3") == 0
    assert "similarity" in capsys.readouterr().out
    near = ask("--similar-to", "i3", "-k", 4)["items"]
    assert near == ask("--similar-to", near_title(run, "i3"), "-k", 4)["items"]


def test_because_of_nothing_is_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    item = {"rank": 1, "title": "A", "score": 1.0, "cf_rank": 1, "text_rank": None, "collaborative_share": 0.5}
    like = {"liked_title": "B", "effect": 0.25}
    Answer("u", ["B"], [item | {"reasons": [like]}, item | {"reasons": []}]).give(None, as_json=False)
    shown = capsys.readouterr().out
    assert "B +0.25" in shown
    assert "none of the likes raises it" in shown


def near_title(run: Path, item_id: str) -> str:
    items = pl.read_parquet(run / "models" / "ccf_llm" / "items.parquet")
    return str(items.filter(pl.col("item_id") == item_id)["title"][0])


def test_recommend_items_that_came_after_training(run: Path, tmp_path: Path, capsys: Capture) -> None:
    title = near_title(run, "i3")
    (tmp_path / "new.csv").write_text(f"item_id,title,genres\nn1,{title},drama\n", encoding="utf-8")
    assert call("recommend", run, "--liked", title, "--new-items", tmp_path / "new.csv", "-k", 24, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    new = next(item for item in found["items"] if item["item_id"] == "n1")
    assert (new["title"], new["text_rank"]) == (title, 1)


def test_recommend_for_all_users_into_a_file(run: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "users.csv").write_text("user_id\nu2\nu1\n")
    some, every = tmp_path / "some.parquet", tmp_path / "every.parquet"
    options = ("--keep-seen", "-k", 3)
    assert call("recommend", run, "--all-users", "--users", tmp_path / "users.csv", "-o", some, *options) == 0
    assert str(some) in capsys.readouterr().out
    assert pl.read_parquet(some)["user_id"].to_list() == ["u2"] * 3 + ["u1"] * 3
    assert call("recommend", run, "--all-users", "-o", every, *options) == 0
    assert f"recommended to {tiny.N_USERS} users" in capsys.readouterr().err
    assert pl.read_parquet(every)["user_id"].n_unique() == tiny.N_USERS


def test_recommend_says_why_there_is_nothing(run: Path, capsys: Capture, tmp_path: Path) -> None:
    ask = ("recommend", run, "--liked", "Night", "--candidate", "i1", "--deny", "i1")
    assert call(*ask, "--why") == 0
    assert capsys.readouterr().out.endswith(": none of the 1 candidates is left: 1 denied\n")
    assert call(*ask, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["reason"]) == ([], "none of the 1 candidates is left: 1 denied")
    (tmp_path / "none.csv").write_text("item_id\n")
    assert call("recommend", run, "--user", "u1", "--candidates", tmp_path / "none.csv") == 0
    assert capsys.readouterr().out == "Nothing to recommend for user u1: no candidates were given\n"


DOCS = (Path(__file__).parents[2] / "docs" / "recommend.md").read_text(encoding="utf-8")
# The tiny run has other users, items and genres than the demo.
NAMES = {'"Toy Story"': '"Night"', '"Aladdin"': '"Dawn"', "Comedy": "drama"}
NAMES |= {
    "880": "u1",
    "881": "u2",
    "882": "u3",
    '"95"': '"i9"',
    '"50"': '"i5"',
    '"71"': '"i7"',
    '"588"': '"i8"',
    '"1"': '"i1"',
    " 50": " i5",
    "-deny 1": "-deny i1",
}
NAMES |= {"candidate 1": "candidate i1", "runs/demo": "run", "ml-100k": "data"}


def examples(language: str) -> str:
    text = "".join(re.findall(rf"^```{language}\n(.*?)^```$", DOCS, flags=re.MULTILINE | re.DOTALL))
    for theirs, ours in NAMES.items():
        text = text.replace(theirs, ours)
    return text


def test_the_commands_of_the_docs(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    script = examples("sh")
    heredoc = re.search(r"cat > (\S+) <<'END'\n(.*?)^END$", script, flags=re.MULTILINE | re.DOTALL)
    assert heredoc is not None
    (folder / heredoc[1]).write_text(heredoc[2], encoding="utf-8")
    (folder / "some.csv").write_text("user_id\nu2\n")
    commands = [shlex.split(line, comments=True) for line in script.splitlines() if line.startswith("ccf-llm ")]
    assert len(commands) == 14
    for command in commands:
        assert call(*command[1:]) == 0, command
    assert pl.read_parquet(folder / "best.parquet")["user_id"].n_unique() > 20


def test_the_python_examples_of_the_docs(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(examples("python"), "docs/recommend.md", "exec"), {})
    assert pl.read_parquet(folder / "best.parquet")["user_id"].unique().sort().to_list() == ["u1", "u2", "u3"]


def test_the_report_is_one_page_that_needs_nothing_else(run: Path, capsys: Capture) -> None:
    assert call("recommend", run, "--liked", "Night", "--keep") == 0
    assert call("report", run) == 0
    assert "report.html" in capsys.readouterr().out
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in METHODS)
    assert "a person who likes" in page
    outside = re.findall(r"""(?:src|href)\s*=\s*["']?(?!#|data:)([^"'\s>]+)""", page)
    assert outside == []
    assert "@import" not in page
    assert (run / "overview.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "{folder}/none.yaml"], "none.yaml: cannot be read"),
        (["train", "{folder}/twice.yaml"], "twice.yaml, line 3: not valid YAML: 'cf' is there twice, on line 1 too"),
        (["train", "{folder}/run.yaml", "--set", "seed=12:30"], "seed: Input should be a valid integer"),
        (["train", "{folder}/run.yaml", "--set", "cf.colour=1"], "unknown setting 'cf.colour'"),
        (["train", "{folder}/run.yaml", "--set", "cf.folds=-1"], "cf.folds: Input should be"),
        (["train", "{folder}/run.yaml", "--set", "seed"], "--set seed: give it as key=value"),
        (["train", "{folder}/bad.yaml"], "bad.yaml, line 2: not valid YAML"),
        (["train", "{folder}/run.yaml", "--only", "x"], "--only x: not one of the methods llm_text, ccf_llm"),
        (["train", "{folder}/run.yaml", "--set", "data.source={folder}/x"], "x: no such folder"),
        (["train", "{folder}/run.yaml", "--set", "data.details=[colour]"], "data.details: items have no column"),
        (["train", "{folder}/run.yaml", "--set", "llm.device=cuda:9"], "llm.device: no device 'cuda:9'"),
        (["train", "{folder}/run.yaml", "--set", "llm.lora.targets=[x_proj]"], "llm.lora.targets: "),
        (["evaluate", "{folder}/data"], "data: not the folder of a run"),
        (["evaluate"], "give the folder of a run, or --method and --data"),
        (["evaluate", "--method", "mf"], "--data is missing"),
        (
            ["evaluate", "--method", "x", "--data", "{folder}/data"],
            "--method x: not one of item_user_mean, mf, lightgcn, sasrec, din, ensemble, gbm",
        ),
        (["evaluate", "{folder}/run", "--part", "train"], "--part train: choose valid or test"),
        (["recommend", "{folder}/data", "--user", "u1"], "data: not the folder of a run"),
        (["recommend", "{folder}/run"], "give one of --user ID, --liked TITLE (once or more), --similar-to ITEM and"),
        (["recommend", "{folder}/run", "--user", "u1", "--all-users"], "give one of --user ID"),
        (["recommend", "{folder}/run", "--all-users"], "--output is missing: name the Parquet file"),
        (["recommend", "{folder}/run", "--all-users", "-o", "x", "--why"], "--why has no meaning with --all-users"),
        (["recommend", "{folder}/run", "--user", "u1", "-o", "x"], "--output has no meaning with --user"),
        (["recommend", "{folder}/run", "--liked", "Night", "--keep-seen"], "--keep-seen has no meaning with --liked"),
        (
            ["recommend", "{folder}/run", "--similar-to", "i1", "--order", "cf"],
            "--order has no meaning with --similar-to",
        ),
        (["recommend", "{folder}/run", "--user", "u1", "--order", "best"], "--order best: choose one of fused, cf"),
        (
            ["recommend", "{folder}/run", "--user", "u1", "--order", "cf", "--why"],
            "--why gives the model's reasons, but --order cf does not ask it",
        ),
        (["recommend", "{folder}/run", "--user", "u1", "--deny", "i99"], "denied items: no item 'i99'"),
        (["recommend", "{folder}/run", "--user", "u1", "--category", "war"], "category 'war': unknown"),
        (["recommend", "{folder}/run", "--user", "u1", "--diversity", "3"], "diversity is 3.0; choose from 0"),
        (["recommend", "{folder}/run", "--user", "u1", "--text-share", "3"], "text_share is 3.0; choose from 0 to 1"),
        (["recommend", "{folder}/run", "--user", "u1", "--new-items", "{folder}/no.csv"], "no.csv: no such file"),
        (
            ["recommend", "{folder}/run", "--user", "u1", "--new-items", "{folder}/new.csv"],
            "new.csv: items: no column 'genres', whose words the model reads",
        ),
        (["recommend", "{folder}/run", "--user", "u1", "--candidates", "{folder}/bad.csv"], "no column `item_id`"),
        (
            ["recommend", "{folder}/run", "--user", "u1", "--candidates", "{folder}/gap.parquet"],
            "no item_id in row 1",
        ),
        (["recommend", "{folder}/run", "--user", "u1", "--retrieve", "0"], "retrieve is 0; ask for at least 1 item"),
        (["recommend", "{folder}/run", "--user", "nobody"], "user 'nobody': not in data set tiny"),
        (["recommend", "{folder}/run", "--user", " u1 "], "user ' u1 ': not in data set tiny; did you mean 'u1'?"),
        (
            ["recommend", "{folder}/run", "--user", "u1", "--deny", "i3.0"],
            "no item 'i3.0' in the model's catalogue; did",
        ),
        (["recommend", "{folder}/run", "--similar-to", "i3 "], "holds these words; did you mean 'i3'?"),
        (["recommend", "{folder}/run", "--similar-to", " "], "--similar-to: no words given in ' '; write a title"),
        (["recommend", "{folder}/run", "--liked", ""], "--liked: no words given in ''; write a title"),
        (["recommend", "{folder}/run", "--liked", "("], "--liked: no words given in '('; write a title"),
        (["recommend", "{folder}/run", "--liked", "no such film"], "--liked no such film: no title"),
        (["recommend", "{folder}/run", "--user", "u1", "-k", "0"], "k is 0; ask for at least 1 item"),
        (["compare", "{folder}/run.yaml", "--only", "x"], "--only x: not one of the rows item_user_mean, mf, llm_text"),
        (["compare", "{folder}/run.yaml", "--seeds", "a"], "--seeds a: give whole numbers with commas between"),
        (["compare", "{folder}/run.yaml", "--part", "train"], "--part train: choose valid or test"),
        (["report", "{folder}/data"], "metrics.json: no figures yet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    command: list[str], message: str, run: Path, folder: Path, capfd: Capture
) -> None:
    (folder / "bad.yaml").write_text("seed: [1\n")
    (folder / "twice.yaml").write_text("cf: {folds: 2}\nseed: 1\ncf: {folds: 3}\n")
    (folder / "bad.csv").write_text("item\ni1\n")
    pl.DataFrame({"item_id": [1.0, None]}).write_parquet(folder / "gap.parquet")
    (folder / "new.csv").write_text("item_id,title\nn1,A new one\n")
    arguments = [word.format(folder=folder) for word in command]
    if command[0] == "train":
        arguments += ["--set", f"output={folder}/elsewhere"] if "--only" not in command else []
    assert call(*arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    *progress, error, end = re.split(r"[\r\n]", printed.err)
    assert error.startswith("error: ")
    assert message in error
    assert end == ""
    assert all("fitting on" in line for line in progress)  # what was done before the fault was met


@pytest.mark.parametrize("command", ["compare", "evaluate", "tune"])
def test_what_works_in_one_process_refuses_to_be_started_in_several(
    command: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert call(command, tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{command}: works in one process, and 2 were started together" in line
    assert f"give `ccf-llm {command}` by itself, without torchrun" in line


def test_the_home_folder_may_be_written_into_an_option(
    run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert call("recommend", run, "--all-users", "--output=~/best.parquet", "-k", "1", "--order", "cf") == 0
    assert (tmp_path / "best.parquet").is_file()


def test_a_run_that_was_stopped_says_how_to_go_on(folder: Path, run: Path, capsys: Capture, tmp_path: Path) -> None:
    assert call("train", folder / "run.yaml", "--only", "llm_text", "--set", f"output={tmp_path}/part") == 0
    capsys.readouterr()
    assert call("evaluate", tmp_path / "part") == 2
    assert "ccf_llm is not trained yet; run ccf-llm train again" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from ccf_llm.io import files
name = sys.argv.pop(1)
def dying(step):
    def then(new, target):
        if os.path.basename(target) == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(new, target)
    return then
files.os.replace, files._exchange = dying(os.replace), dying(files._exchange)
from ccf_llm.cli import main
main()
"""
"""The command, killed by SIGKILL when all is written and the file or folder of this name is to take its place."""


def kill(name: str, *arguments: object) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLED, name, *map(str, arguments)]
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == -signal.SIGKILL


def files_of(folder: Path, suffix: str = "") -> dict[str, bytes]:
    found = (path for path in folder.rglob(f"*{suffix}") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_training_that_is_killed_goes_on_to_the_same_model(folder: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    kill("ccf_llm-fusion", "train", folder / "run.yaml", "--set", f"output={out}")
    assert files_of(out / "models" / "llm_text", ".safetensors") == files_of(
        run / "models" / "llm_text", ".safetensors"
    )
    assert call("train", folder / "run.yaml", "--set", f"output={out}") == 0
    assert files_of(out / "models", ".safetensors") == files_of(run / "models", ".safetensors")
    assert not list(out.rglob(".*"))


def test_an_evaluation_that_is_killed_leaves_the_figures_of_before(run: Path) -> None:
    before = (run / "metrics.json").read_bytes()
    kill("metrics.json", "evaluate", run)
    assert (run / "metrics.json").read_bytes() == before
    assert call("evaluate", run) == 0


def test_an_import_that_is_killed_leaves_the_data_of_before(tmp_path: Path) -> None:
    for name, title in (("old", "Alien"), ("new", "Ran")):
        (tmp_path / f"{name}.csv").write_text(f"user_id,item_id,title,label,timestamp\nu,i,{title},1,7\n")
    old, new = (
        ("data", "import", f, "--items", f, "-o", tmp_path / "out") for f in sorted(tmp_path.glob("*.csv"))[::-1]
    )
    assert call(*old) == 0
    kill("out", *new)
    assert Dataset.load(tmp_path / "out").items["title"].to_list() == ["Alien"]
    assert call(*new) == 0
    assert Dataset.load(tmp_path / "out").items["title"].to_list() == ["Ran"]
    assert not list(tmp_path.glob(".*"))  # what the killed one left is gone


@pytest.mark.parametrize("command", ["train", "import"])
def test_a_full_disk_is_one_line_and_nothing_half_written(
    command: str, folder: Path, run: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    table = tmp_path / "t.csv"
    table.write_text("user_id,item_id,title,label\n" + "".join(f"u{n},i{n},T{n},1\n" for n in range(900)))
    with small_disk(900):
        if command == "train":
            assert call("train", folder / "run.yaml", "--set", f"output={out}") == 2
        else:
            assert call("data", "import", table, "--items", table, "-o", out) == 2
    assert re.search(
        r"^error: cannot write \S+: .*; free space or choose another folder\n\Z", capsys.readouterr().err, flags=re.M
    )
    assert files_of(out) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that not even root may write is Linux's /sys")
@pytest.mark.parametrize("command", ["train", "import"])
def test_a_folder_that_cannot_be_written_is_named(command: str, folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out = "/sys/ccf-llm/out"
    table = tmp_path / "t.csv"
    table.write_text("user_id,item_id,title,label,timestamp\nu,i,T,1,7\n")
    if command == "train":
        assert call("train", folder / "run.yaml", "--set", f"output={out}") == 2
    else:
        assert call("data", "import", table, "--items", table, "-o", out) == 2
    assert re.search(r"^error: .*cannot (write|make) /sys.*\n\Z", capsys.readouterr().err, flags=re.M)


def test_two_processes_do_not_train_in_one_folder(folder: Path, run: Path, capsys: Capture) -> None:
    before = files_of(run)
    with only_one(run, "training"):
        assert call("train", folder / "run.yaml") == 2
    assert f"{run}: another process is training there; wait for it, or choose another folder" in capsys.readouterr().err
    assert files_of(run) == before
    assert call("train", folder / "run.yaml") == 0
