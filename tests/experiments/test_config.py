import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from ccf_llm.cf.kinds import FITTED, MODELS, RANKERS, VECTORS
from ccf_llm.cf.settings import CFSettings
from ccf_llm.errors import CCFError
from ccf_llm.experiments.config import RunConfig, alone, check_config, dump_config, load_config
from ccf_llm.experiments.methods import MethodConfig
from ccf_llm.experiments.results import comparison_rows, reads_genres, row_config
from ccf_llm.fusion.settings import FusionConfig
from ccf_llm.settings import Settings

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("seed: 3\ncf: {folds: 2}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_file_is_a_run(path: Path) -> None:
    config = load_config(path)
    assert config.main in config.methods
    assert not config.output.is_absolute()


@pytest.mark.parametrize(("name", "task"), [("demo", "ranking"), ("rating-demo", "rating")])
def test_there_is_a_demo_of_each_task(name: str, task: str) -> None:
    config = load_config(CONFIGS[0].parent / f"{name}.yaml")
    assert (config.task, config.output) == (task, Path("runs") / name)


def test_defaults_are_a_run(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert load_config(tmp_path / "empty.yaml") == RunConfig()


def test_toml_says_the_same(path: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("seed = 3\n[cf]\nfolds = 2\n")
    assert load_config(tmp_path / "run.toml") == load_config(path)


def test_what_is_dumped_is_read_back(path: Path, tmp_path: Path) -> None:
    config = load_config(
        path,
        [
            "name='Ömer: [x]'",
            "notes=['010', '1e3', '0o7', 'no', '12:30']",
            "data.details=[genres, {column: tags, before: 'about ', most: 24}]",
            "prompt.template.history_titles=false",
        ],
    )
    (tmp_path / "again.yaml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "again.yaml") == config
    assert check_config(config.model_dump(mode="json"), "run") == config


def test_overrides_replace_settings(path: Path) -> None:
    config = load_config(
        path, ["seed=5", "cf.mf.dim=16", "llm.lora.targets=[q_proj]", "data.split.max_rows_per_user=null"]
    )
    assert (config.seed, config.cf.folds, config.cf.mf.dim) == (5, 2, 16)
    assert config.llm.lora.targets == ("q_proj",)
    assert config.data.split.max_rows_per_user is None


def test_one_setting_of_a_default_stage_or_method_can_be_replaced(path: Path) -> None:
    config = load_config(
        path, ["stages.text.rows=10", "methods.llm_text.fusion.hidden=8", "methods.x={stages: [text]}"]
    )
    default = RunConfig()
    assert config.stages["text"] == default.stages["text"].model_copy(update={"rows": 10})
    assert config.stages["fusion"] == default.stages["fusion"]
    assert config.resolved["llm_text"].fusion.hidden == 8
    assert list(config.methods) == [*default.methods, "x"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=1", "unknown setting 'colour'; remove it or correct its name"),
        ("cf.mf.colour=1", r"unknown setting 'cf\.mf\.colour'"),
        ("data.details=[{colum: tags}]", r"data\.details\.0\.column: Field required"),
        ("data.details=[{column: tags, most: 0}]", r"data\.details\.0\.most: Input should be greater"),
        ("seed=x", "seed: Input should be a valid integer"),
        ("cf.folds=-1", r"cf\.folds: Input should be greater than or equal to 0"),
        ("fusion.variant=both", r"fusion\.variant: Input should be 'dimension', 'scalar'"),
        ("seed.deep=1", "--set seed.deep=1: 'seed' holds a single value"),
        ("seed", "--set seed: give it as key=value"),
        ("=1", "--set =1: give it as key=value"),
        ("seed=[1", r"--set seed=\[1: the value is not valid YAML"),
        ("main=nothing", "main: 'nothing' is not one of the methods"),
        ("methods.x={start: y, stages: [text]}", r"methods\.x\.start: 'y' is not a method named before it"),
        ("methods.x={stages: [y]}", r"methods\.x\.stages: 'y' is not one of text, fusion"),
        ("methods.x={fusion: {variant: semantic}, stages: [fusion]}", r"methods\.x\.stages: 'fusion' trains nothing"),
        ("methods.x={cf: ids, stages: [y]}", r"methods\.x\.stages: 'y' is not one of text, fusion"),
        ("methods.x={cf: gbm}", r"methods\.x\.cf: Input should be 'mf'"),
        ("prompt.template.slots=some", r"prompt\.template\.slots: Input should be 'all', 'target' or 'none'"),
        ("prompt.template={slots: target, history_titles: false}", "slots: target needs history_titles"),
        (
            "stages.fusion.train=[prompt]",
            r"methods\.ccf_llm\.stages: 'fusion' trains nothing; give the template learned",
        ),
        ("stages.text={train: []}", r"stages\.text\.train: "),
        ("prompt.template={slots: false, history_titles: false}", "needs history_titles"),
        ("prompt.template={slots: none, candidate_titles: false}", r"prompt\.template: slots: none needs candidate_t"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(path: Path, override: str, message: str) -> None:
    with pytest.raises(CCFError, match=message) as fault:
        load_config(path, [override])
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\ncf: {folds: 2}\n\ncf:\n  model: din\n", "line 4: .* 'cf' is there twice, on line 2 too"),
        ("cf:\n  folds: 2\n  folds: 3\n", "line 3: .* 'folds' is there twice, on line 2 too"),
        ("seed: 1\ncf:\n  colour: 2\n", r"line 3: unknown setting 'cf\.colour'"),
        ("# seeds\nseed: 12:30\n", "line 2: seed: Input should be a valid integer"),
        ("seed: 1\nllm:\n  lora: {targets: [1]}\n", r"line 3: llm\.lora\.targets"),
        ("stages: {}\nmethods:\n  x: {}\n  y:\n    stages: [z]\n", r"line 5: methods\.y\.stages: 'z' is not one"),
        ("methods:\n  mf: {}\n", r"line 2: methods\.mf: this name belongs to a row of its own"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(CCFError, match=rf"run\.yaml, {message}") as fault:
        load_config(tmp_path / "run.yaml")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("override", "seed"), [("seed=010", 10), ("seed=0o10", 8), ("seed=0x10", 16), ("seed=-0", 0), ("seed=1e1", 10)]
)
def test_numbers_are_what_they_look_like(path: Path, override: str, seed: int) -> None:
    assert load_config(path, [override]).seed == seed


def test_words_stay_words_and_rates_are_numbers(path: Path) -> None:
    config = load_config(path, ["name=no", "notes=[on, 12:30, 2024-01-01, 1_0]", "stages.text.lora_rate=1e-3"])
    assert config.name == "no"
    assert config.notes == ("on", "12:30", "2024-01-01", "1_0")
    assert config.stages["text"].lora_rate == 0.001
    assert not load_config(path, ["fusion.blend=no"]).fusion.blend


def test_the_home_folder_may_be_written_as_people_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    config = load_config(path, ["output=~/runs/x", "data.source=~/data", "llm.model=~/models/x"])
    assert config.output == Path("/home/someone/runs/x")
    assert (config.data.source, config.llm.model) == ("/home/someone/data", "/home/someone/models/x")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.yaml", "seed: [1\n", r"bad\.yaml, line 2: not valid YAML: expected ',' or '\]'"),
        ("bad.toml", "seed = \n", r"bad\.toml: not valid TOML: .*line 1"),
        ("list.yaml", "- 1\n", r"list\.yaml: expected settings .* found list"),
        ("tag.yaml", "seed: !!python/object/apply:os.getcwd []\n", r"tag\.yaml, line 1: not valid YAML"),
    ],
)
def test_a_file_that_is_no_run_is_named_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CCFError, match=message) as fault:
        load_config(tmp_path / name)
    assert "\n" not in str(fault.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CCFError, match=r"none\.yaml: cannot be read \(No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(CCFError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(CCFError, match=r"latin\.yaml: cannot be read"):
        load_config(tmp_path / "latin.yaml")


def test_every_cf_model_can_be_chosen() -> None:
    fields = CFSettings.model_fields
    without_vectors = {"popularity", "retriever_ensemble"}
    assert get_args(fields["model"].annotation) == tuple(k for k in (*MODELS, *RANKERS) if k not in without_vectors)
    assert set(get_args(get_args(fields["compare"].annotation)[0])) == set(FITTED)
    config = RunConfig(cf=CFSettings(model="din", compare=("mf", "din")))
    assert config.resolved.cf_rows == ("item_user_mean", "din", "mf")
    slots = set(get_args(get_args(MethodConfig.model_fields["cf"].annotation)[0]))
    assert slots == set(VECTORS) - without_vectors
    assert all(type(CFSettings().of(method)).__name__.endswith("Config") for method in FITTED)


def test_what_a_method_reads_and_trains() -> None:
    config = load_config(CONFIGS[0].parent / "ml-1m.yaml")
    assert config.resolved.text_only == "tallrec"  # soft_prompt trains no adapter
    assert config.resolved["icl"].trainable == {"lora"}
    assert config.resolved["soft_prompt"].trainable == {"lora", "prompt"}
    assert config.resolved["collm_din"].trainable == {"lora", "fusion", "cf"}
    assert [config.resolved[name].reads_cf for name in ("tallrec", "binllm", "ccf_llm")] == [False, True, True]
    assert [config.resolved[name].cf for name in ("ccf_llm", "collm_din")] == ["ensemble", "din"]
    assert config.resolved["ccf_llm"].folds == 0
    crossed = check_config(config.model_dump(mode="json") | {"cf": {"folds": 4}}, "crossed")
    assert [crossed.resolved[name].folds for name in ("ccf_llm", "person_prompt", "collm_mf")] == [4, 0, 0]
    assert config.resolved.cf_rows == (
        "item_user_mean",
        "ensemble",
        "mf",
        "lightgcn",
        "sasrec",
        "din",
        "gbm",
        "gbm_words",
    )
    assert config.resolved["ccf_llm"].prompt == config.prompt
    assert config.resolved["tallrec"].prompt.template.slots == "none"


def test_a_method_alone_is_the_same_method() -> None:
    config = load_config(CONFIGS[0].parent / "ml-1m.yaml")
    for name in config.methods:
        one, method = check_config(alone(config, name).model_dump(mode="json"), "alone"), config.resolved[name]
        same = one.resolved[name]
        assert tuple(one.methods) == method.needed
        assert set(one.stages) == {stage for m in one.methods.values() for stage in m.stages}
        assert one.prompt == same.prompt == method.prompt
        assert (one.fusion, same.reads_cf) == (method.fusion, method.reads_cf)
        assert not method.reads_cf or same.cf == method.cf
        assert alone(one, name) == one


def test_a_loss_on_categories_needs_a_column() -> None:
    stages = {"text": {"train": ["lora"]}, "fusion": {"category_weight": 0.5}}
    with pytest.raises(CCFError, match=r"stages\.fusion\.category_weight: .* name a column by data\.categories"):
        check_config({"stages": stages}, "test")


def test_only_rows_that_learn_genres_are_made_with_them(tmp_path: Path) -> None:
    for part in ("train", "valid", "test", "items"):
        (tmp_path / f"{part}.parquet").touch()
    config = check_config(
        {
            "data": {"source": str(tmp_path), "categories": "genres"},
            "cf": {"compare": ["gbm", "gbm_words"]},
            "stages": {"text": {"train": ["lora"]}, "fusion": {"category_weight": 0.5}},
        },
        "test",
    )
    reading = [row for row in comparison_rows(config) if reads_genres(config, row)]
    assert reading == ["gbm_words", "ccf_llm", "ccf_llm_with_trees"]
    assert "categories" not in row_config(config, "llm_text")["data"]
    assert all(row_config(config, row)["data"]["categories"] == "genres" for row in reading)
    elsewhere = config.model_copy(update={"data": config.data.model_copy(update={"source": "ml-100k"})})
    assert not reads_genres(elsewhere, "ccf_llm")
    told = {"data": {"categories": "genres"}, "ranking": {"trees": True}}
    ranking = check_config({"task": "ranking", "cf": {"model": "ease"}, **told}, "test")
    assert not [row for row in comparison_rows(ranking) if "categories" in row_config(ranking, row)["data"]]


@pytest.mark.parametrize("row", FITTED)
def test_the_own_settings_of_a_cf_row_decide_its_result(row: str) -> None:
    ranking = {"task": "ranking", "cf": {"model": "ease", "compare": [row], "prior": {"words": "sentences"}}}
    config = check_config(ranking if row in RANKERS else {"cf": {"compare": [row]}}, "test")
    own = config.cf.of(row).model_dump(mode="json")
    assert own in row_config(config, row)["cf"].values()


def test_what_a_method_needs() -> None:
    config = RunConfig()
    assert config.resolved["ccf_llm"].needed == ("llm_text", "ccf_llm")
    assert config.resolved["llm_text"].fusion.variant == "semantic"
    assert config.resolved["ccf_llm"].fusion == config.fusion
    other = config.model_copy(update={"fusion": FusionConfig(hidden=3)})
    assert other.resolved["ccf_llm"].fusion == other.fusion  # not what the first one resolved


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_faulty_file_is_refused_before_torch_is_loaded(path: Path, command: str) -> None:
    path.write_text("seed: 1\ncf:\n  modle: mf\n")
    program = (
        "import sys\n"
        "from ccf_llm.cli import main\n"
        f"sys.argv = ['ccf-llm', {command!r}, {str(path)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert 'ccf_llm.experiments.config' in sys.modules\n"
        "    assert 'torch' not in sys.modules\n"
        "    raise\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == f"error: {path}, line 3: unknown setting 'cf.modle'; remove it or correct its name\n"
    assert ended.stdout == ""


def test_settings_are_one_family() -> None:
    groups, waiting = set(), [RunConfig]
    while waiting:
        group = waiting.pop()
        groups.add(group)
        fields = group.model_fields.values()
        waiting += {kind for field in fields for kind in models_in(field.annotation)} - groups
    assert {CFSettings, MethodConfig, FusionConfig} < groups
    assert all(issubclass(group, Settings) for group in groups)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The groups of settings that a field can hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


@pytest.mark.parametrize("detail", ["genres", {"column": "genres", "before": "a ", "most": 8}])
def test_rows_that_are_told_genres_are_made_with_them(tmp_path: Path, detail: str | dict[str, str | int]) -> None:
    for part in ("train", "valid", "test", "items"):
        (tmp_path / f"{part}.parquet").touch()
    config = check_config({"data": {"source": str(tmp_path), "details": [detail]}}, "test")
    assert reads_genres(config, "ccf_llm")
    assert not reads_genres(config, "mf")
