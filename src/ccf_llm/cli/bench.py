"""`ccf-llm bench`: how fast this machine scores and trains, plainly and with every technique; what more rows cost."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="How fast this machine scores and trains, the plain way and with every technique; how cost grows with rows.",
)

DataOption = Annotated[str, typer.Option(help="Data set whose histories are read: a name or a folder.")]
ModelOption = Annotated[str, typer.Option("--llm", help="Base model: an alias, a hub id, a folder or a GGUF file.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
FileOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")]


@app.command()
def scoring(
    candidates: Annotated[int, typer.Option(min=1, help="Candidates of each user.")] = 32,
    users: Annotated[int, typer.Option(min=1, help="Users, each with its own history.")] = 1,
    data: DataOption = "ml-100k",
    llm: ModelOption = "smollm2-135m",
    device: DeviceOption = "auto",
    layers: Annotated[
        int | None, typer.Option(min=1, help="Layers of the smaller model; two fifths of the base model's by default.")
    ] = None,
    growth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Also measure how cost grows with candidates, likes and catalogue; plot it."
        ),
    ] = None,
    json_file: FileOption = None,
) -> None:
    """Candidates per second, one technique on top of the other, in one run on the real model.

    Then how long one person waits for 20 candidates: with fewer layers, with the target as one token, and with a
    sentence encoder instead.

    [bold]ccf-llm bench scoring --candidates 100[/bold]
    """
    from ccf_llm.bench.plots import plot_growth
    from ccf_llm.bench.rerank import bench_rerank, smaller
    from ccf_llm.bench.scoring import bench_growth, bench_scoring
    from ccf_llm.bench.setting import Setting

    setting = Setting.open(data, llm, device)
    fewer, encoder = smaller(setting, layers), _encoder(setting.device)
    found = bench_scoring(setting, candidates=candidates, users=users, say=_say)
    found["rerank"] = bench_rerank(
        setting,
        layers=fewer,
        plain_per_s=found["naive_per_s"],
        encoder=encoder,
        say=_say,
    )
    if growth is not None:
        found["growth"] = bench_growth(setting, say=_say)
        plot_growth(found["growth"], growth)
    _show(f"{candidates} candidates of {users} user{'s' * (users > 1)}", found, setting, json_file)


@app.command()
def training(
    rows: Annotated[int, typer.Option(min=16, help="About so many training rows, of whole users.")] = 160,
    data: DataOption = "ml-100k",
    llm: ModelOption = "smollm2-135m",
    device: DeviceOption = "auto",
    json_file: FileOption = None,
) -> None:
    """Samples per second forwards and backwards, separate prompts against packs of a user's rows.

    [bold]ccf-llm bench training --data FOLDER --json out.json[/bold]
    """
    from ccf_llm.bench.setting import Setting
    from ccf_llm.bench.training import bench_training

    setting = Setting.open(data, llm, device)
    found = bench_training(setting, rows=rows, say=_say)
    _show(f"{found['rows']} rows, {found['targets_per_pack']} targets a pack", found, setting, json_file)


@app.command()
def scale(
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Rows of a log; may be repeated. Left out: 250,000, 500,000, 1 and 2 million."),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="import, load, split, histories, als, sasrec, pieces, mapped, mapped-als or mapped-sasrec; may be "
            "repeated. Left out: all."
        ),
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the logs stand meanwhile: 80 bytes a row.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also plot the figures here.")] = None,
    json_file: FileOption = None,
) -> None:
    """Time and peak memory of import, load, split, histories, ALS and SASRec against the rows of a generated log.

    `pieces`: split and histories, some users at a time; `mapped`: their likes in files, of which both then learn.

    Every figure comes from a process of its own; exponents are fitted to the processor's seconds: 1 is linear.

    [bold]ccf-llm bench scale --rows 1000000 --rows 4000000 --part import[/bold]
    """
    from rich.console import Console
    from rich.table import Table

    from ccf_llm.bench.plots import plot_scale
    from ccf_llm.bench.scale import PARTS, bench_scale
    from ccf_llm.experiments.circumstances import circumstances
    from ccf_llm.io.files import write_json

    sizes = sorted(set(rows or (250_000, 500_000, 1_000_000, 2_000_000)))
    found = bench_scale(sizes, parts=part or list(PARTS), scratch=scratch, say=_say) | {"made": circumstances()}
    if json_file is not None:
        write_json(json_file, found)
    if plot is not None:
        plot_scale(found["parts"], plot)
    table = Table("part", *(f"{n:,}" for n in sizes), "exponent", "bytes a row", "its own", title="seconds, peak MB")
    for name, one in found["parts"].items():
        cells = (f"{point['seconds']:.1f} s, {point['peak_mb']:,.0f}" for point in one["points"])
        table.add_row(
            name, *cells, *(str(one[key] or "") for key in ("exponent", "bytes_per_row", "own_bytes_per_row"))
        )
    Console().print(table)


@app.command()
def generate(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for interactions and items.")],
    rows: Annotated[int, typer.Option(min=1, help="Interactions.")] = 1_000_000,
    users: Annotated[int, typer.Option(min=0, help="0: one for each 50 rows.")] = 0,
    items: Annotated[int, typer.Option(min=0, help="0: ten times the square root of the rows.")] = 0,
    form: Annotated[Literal["parquet", "csv", "jsonl"], typer.Option(help="Of the tables.")] = "parquet",
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
) -> None:
    """Write a log of any size, shaped as a shop's is: popularity as Zipf has it, busy and quiet people, tastes, times.

    [bold]ccf-llm bench generate --rows 20000000 -o big[/bold], then
    [bold]ccf-llm data import big/interactions.parquet --items big/items.parquet -o data/big[/bold]
    """
    from ccf_llm.bench.generated import Log
    from ccf_llm.errors import CCFError

    if output.exists():
        raise CCFError(f"{output}: exists; give a new folder with --output")
    Log(rows, users, items, seed).write(output, form)
    typer.echo(str(output))


def _encoder(device: str) -> Any:
    """The sentence encoder to compare with; None, and a line that says why, where it cannot be had."""
    from ccf_llm.errors import CCFError
    from ccf_llm.llm.runtime import choose_device
    from ccf_llm.text.sentences import SentenceEncoder

    try:
        return SentenceEncoder.load(device=choose_device(device))
    except CCFError as error:
        _say(f"without a sentence encoder: {error}")
        return None


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _show(title: str, found: dict[str, Any], setting: Any, json_file: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from ccf_llm.experiments.circumstances import circumstances
    from ccf_llm.io.files import write_json

    found |= {"dataset": setting.dataset.name, "llm": setting.source.name, "made": circumstances()}
    if json_file is not None:
        write_json(json_file, found)
    table = Table("technique", "dtype", "per second", "speedup", title=title)
    for row in found["techniques"]:
        table.add_row(row["technique"], row["dtype"], f"{row['per_s']:.1f}", f"{row['speedup']:.1f}x")
    console = Console()
    console.print(table)
    if ways := found.get("rerank"):
        console.print(_waits(ways))
    for key, value in found.items():
        if not isinstance(value, list | dict):
            console.print(f"{key}  {value}", markup=False, highlight=False)


def _waits(ways: list[dict[str, Any]]) -> Any:
    """The table of ways to re-rank."""
    from rich.table import Table

    from ccf_llm.bench.rerank import COUNTS

    rates = [f"per second, {n} candidates" for n in COUNTS]
    table = Table("way", "dtype", *rates, "20 candidates: p50, ms", "p95", "known person: p50, ms", "p95")
    for way in ways:
        figures = [f"{way[f'per_s_{n}']:.0f} ({way[f'ratio_{n}']:.1f}x)" for n in COUNTS]
        waits = (str(way.get(f"{kind}{share}_ms", "")) for kind in ("p", "known_p") for share in (50, 95))
        table.add_row(way["way"], way["dtype"], *figures, *waits)
    return table
