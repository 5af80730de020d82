import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ccf_llm.data.dataset import Dataset
from ccf_llm.errors import CCFError
from ccf_llm.evaluation.bootstrap import bootstrap_mean, draw_users
from ccf_llm.evaluation.known import Known, categories
from ccf_llm.evaluation.lists import read_lists, top_lists
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.evaluation.slices import likes_slices

N_USERS, N_ITEMS = 24, 40
USERS, ITEMS = [f"u{n:02}" for n in range(N_USERS)], [f"i{n:02}" for n in range(N_ITEMS)]


class World:
    """Random users; methods whose scores know the targets more or less."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shape = (N_USERS, N_ITEMS)
        self.seen = rng.random(shape) < 0.1
        self.targets = (rng.random(shape) < 0.15) & ~self.seen
        self.targets[:2] = False  # two users without a target
        self.noise = rng.normal(size=(3, *shape))
        self.known = Known(
            popularity=pl.DataFrame({"item_id": ITEMS, "likes": self.seen.sum(0)}),
            histories=pl.DataFrame({"user_id": USERS[3:], "likes": np.resize([1, 5, 6, 20, 21, 50, 51], N_USERS - 3)}),
            targets=pl.DataFrame(
                [(USERS[u], ITEMS[i]) for u, i in np.argwhere(self.targets)], ["user_id", "item_id"], orient="row"
            ),
            vectors=rng.normal(size=(N_ITEMS, 3)),
        )

    def lists(self, method: str, skill: float, *seeds: int, users: slice = slice(None), k: int = 20) -> pl.DataFrame:
        return pl.concat(
            top_lists(
                method,
                USERS[users],
                ITEMS,
                (self.noise[seed] + skill * self.targets)[users],
                seen=self.seen[users],
                targets=self.targets[users],
                k=k,
                seed=seed,
            )
            for seed in seeds or (0,)
        )


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def measured(*lists: pl.DataFrame, known: Known | None = None) -> dict[str, Any]:
    result = evaluate_lists(pl.concat(lists), known, draws=200)
    plain: dict[str, Any] = json.loads(json.dumps(result, allow_nan=False))
    return plain


def test_every_figure_survives_json(world: World) -> None:
    result = measured(world.lists("good", 2), world.lists("bad", 0), known=world.known)
    assert result["lists"] == {
        "users": 22, "users_without_target": 2, "items": 40, "cutoffs": [5, 10, 20], "k": 10, "draws": 200, "seed": 0,
    }  # fmt: skip
    good, bad = result["models"]["good"], result["models"]["bad"]
    per_user = ["ndcg", "recall", "precision", "hit_rate", "mrr", "map", "novelty", "long_tail", "diversity"]
    together = ["overlap", "most_shown", "coverage", "gini"]
    figures = {f"{name}@{k}" for name in per_user for k in (5, 10, 20)}
    assert good.keys() == figures | {f"{name}_ci" for name in figures} | {
        f"{name}@{k}" for name in together for k in (5, 10, 20)
    } | {"users", "seeds", "slices", "diff"}
    assert (good["users"], good["seeds"]) == (22, [0])
    assert good["ndcg@10_ci"][0] < good["ndcg@10"] < good["ndcg@10_ci"][1]
    ahead = good["diff"]["bad"]
    assert ahead["users"] == 22
    assert ahead["ndcg@10"] == pytest.approx(good["ndcg@10"] - bad["ndcg@10"])
    assert 0 < ahead["ndcg@10_ci"][0] < ahead["ndcg@10"] < ahead["ndcg@10_ci"][1]
    back = bad["diff"]["good"]
    assert back["ndcg@10_ci"] == pytest.approx([-ahead["ndcg@10_ci"][1], -ahead["ndcg@10_ci"][0]])


def test_the_lists_alone_give_accuracy_and_overlap(world: World) -> None:
    known, alone = (measured(world.lists("good", 2), known=known)["models"]["good"] for known in (world.known, None))
    assert alone["slices"] == {}
    assert "coverage@10" not in alone
    shared = alone.keys() - {"slices", "diff"}
    assert {"ndcg@5", "map@20_ci", "overlap@10", "most_shown@20"} <= shared
    for key in shared:
        assert known[key] == pytest.approx(alone[key], abs=1e-12)


def test_the_same_lists_under_two_names_do_not_differ(world: World) -> None:
    result = measured(world.lists("one", 1), world.lists("other", 1))
    ahead = result["models"]["one"]["diff"]["other"]
    assert (ahead["ndcg@10"], ahead["ndcg@10_ci"]) == (0, [0, 0])


def test_seeds_are_averaged_user_by_user(world: World) -> None:
    both = measured(world.lists("m", 1, 0, 1), known=world.known)["models"]["m"]
    first, second = (measured(world.lists("m", 1, seed), known=world.known)["models"]["m"] for seed in (0, 1))
    assert both["seeds"] == [0, 1]
    assert (both["users"], both["slices"]["target tail"]["users"]) == (22, first["slices"]["target tail"]["users"])
    for figure in ("ndcg@10", "map@5", "novelty@10", "diversity@20", "coverage@5", "gini@5", "overlap@10"):
        assert both[figure] == pytest.approx((first[figure] + second[figure]) / 2)
    width = both["ndcg@10_ci"][1] - both["ndcg@10_ci"][0]
    assert width < max(one["ndcg@10_ci"][1] - one["ndcg@10_ci"][0] for one in (first, second))


def test_a_method_of_some_users_is_compared_over_these(world: World) -> None:
    some = slice(4, 12)
    result = measured(world.lists("all", 2), world.lists("some", 0, users=some))
    alone = measured(world.lists("all", 2, users=some), world.lists("some", 0, users=some))
    assert result["models"]["some"]["users"] == 8
    ahead = result["models"]["all"]["diff"]["some"]
    assert ahead["users"] == 8
    assert ahead["recall@10"] == pytest.approx(alone["models"]["all"]["diff"]["some"]["recall@10"])
    nobody = measured(world.lists("these", 2, users=some), world.lists("those", 2, users=slice(12, 20)))
    ahead = nobody["models"]["these"]["diff"]["those"]
    assert (ahead["users"], ahead["ndcg@10"], ahead["ndcg@10_ci"]) == (0, None, [None, None])


def test_slices_of_histories_hold_their_own_users(world: World) -> None:
    result = measured(world.lists("m", 1), known=world.known)["models"]["m"]
    own = {name: part for name, part in result["slices"].items() if name.startswith("history")}
    assert {name: part["users"] for name, part in own.items()} == {
        "history 0": 1,  # u00 to u02 are new, two of them have no target
        "history 1-5": 6,
        "history 6-20": 6,
        "history 21-50": 6,
        "history >50": 3,
    }
    assert sum(part["users"] * part["ndcg@10"] for part in own.values()) / 22 == pytest.approx(result["ndcg@10"])
    new = measured(world.lists("m", 1, users=slice(2, 3)))["models"]["m"]
    assert own["history 0"]["recall@10"] == pytest.approx(new["recall@10"])


def test_slices_of_targets_count_their_own_targets(world: World) -> None:
    lists = world.lists("m", 1)
    result = measured(lists, known=world.known)["models"]["m"]["slices"]
    order = sorted(range(N_ITEMS), key=lambda i: (-world.seen[:, i].sum(), i))
    groups = {"target head": order[:8], "target mid": order[8:20], "target tail": order[20:]}
    likes = world.seen.sum(0)
    groups |= {name: np.flatnonzero((likes >= low) & (likes < high)) for name, (low, high) in likes_slices().items()}
    top = lists.filter(pl.col("rank") <= 10, pl.col("relevant"))
    for name, items in groups.items():
        recalls = []
        for u in range(N_USERS):
            wanted = {ITEMS[i] for i in items if world.targets[u, i]}
            found = set(top.filter(pl.col("user_id") == USERS[u])["item_id"])
            if wanted:
                recalls.append(len(wanted & found) / len(wanted))
        mean = pytest.approx(np.mean(recalls)) if recalls else None
        assert (result[name]["users"], result[name]["recall@10"]) == (len(recalls), mean)


def test_new_items_have_their_share_of_lists_hits_and_targets(world: World) -> None:
    lists, new = world.lists("m", 1, 0, 1), ITEMS[5:15]
    plain = measured(lists, known=world.known)
    result = measured(lists, known=replace(world.known, new=pl.Series(new)))
    found, top = result["models"]["m"], lists.filter(pl.col("rank") <= 10)
    mine = pl.col("item_id").is_in(new)
    assert found["new@10"] == pytest.approx(len(top.filter(mine)) / len(top))
    assert found["new@10_ci"][0] < found["new@10"] < found["new@10_ci"][1]
    of_seeds = [one.filter("relevant").select(mine.mean()).item() for one in top.partition_by("seed")]
    assert found["new_hits@10"] == pytest.approx(np.mean(of_seeds))
    wanted = world.targets[:, 5:15].sum()
    assert result["lists"]["new_items"] == {"items": 10, "share_of_targets": wanted / world.targets.sum()}
    hits = top.filter("relevant", mine).group_by("user_id").len().sort("user_id")
    recall = {user: count / 2 / world.targets[USERS.index(user), 5:15].sum() for user, count in hits.iter_rows()}
    people = int((world.targets[:, 5:15].sum(1) > 0).sum())
    assert found["slices"]["target new"]["users"] == people
    assert found["slices"]["target new"]["recall@10"] == pytest.approx(sum(recall.values()) / people)
    assert "new_items" not in plain["lists"]
    assert plain["models"]["m"] == {
        name: value for name, value in found.items() if not name.startswith("new") and name != "slices"
    } | {"slices": {name: part for name, part in found["slices"].items() if name not in ("target new", "target known")}}


def test_cutoffs_go_as_far_as_every_method_does(world: World) -> None:
    for depths, cutoffs in (((20, 10), [5, 10]), ((7, 20), [5]), ((3, 3), [3])):
        result = measured(world.lists("a", 1, k=depths[0]), world.lists("b", 1, k=depths[1]))
        assert (result["lists"]["cutoffs"], result["lists"]["k"]) == (cutoffs, cutoffs[-1])


def test_a_list_without_items_counts_as_nothing_found(world: World) -> None:
    scores = np.full((1, N_ITEMS), np.nan)
    user = slice(5, 6)
    empty = top_lists("m", USERS[user], ITEMS, scores, seen=world.seen[user], targets=world.targets[user])
    rest = world.lists("m", 2, users=slice(6, 9))
    full, alone = measured(empty, rest, known=world.known)["models"]["m"], measured(rest)["models"]["m"]
    assert (full["users"], full["ndcg@10"]) == (4, pytest.approx(alone["ndcg@10"] * 3 / 4))
    nothing = measured(empty, known=world.known)["models"]["m"]
    assert (nothing["ndcg@1"], nothing["coverage@1"], nothing["novelty@1"], nothing["gini@1"]) == (0, 0, None, None)


def test_draws_of_users_equal_copying_them() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((6, 2))
    values[4] = np.nan
    draws = draw_users(6, 30, seed=1)
    for draw, found in zip(draws, bootstrap_mean(values, draws), strict=True):
        np.testing.assert_allclose(found, np.nanmean(np.repeat(values, draw, axis=0), axis=0))
    np.testing.assert_array_equal(bootstrap_mean(np.array([np.nan, 1.0]), np.array([[2, 0], [1, 1]])), [np.nan, 1])


def test_refuses_lists_of_other_data(world: World) -> None:
    lists, known = world.lists("m", 1), world.known
    fewer = replace(known, popularity=known.popularity[1:])
    with pytest.raises(CCFError, match=r"lists: method m, user u..: item i00 is not in the catalogue"):
        evaluate_lists(lists, fewer)
    with pytest.raises(CCFError, match=r"lists: user u.. has \d targets in the lists and \d in the data, item i.. is"):
        evaluate_lists(lists, replace(known, targets=known.targets[1:]))


def test_what_a_data_set_knows() -> None:
    interactions = pl.DataFrame(
        [
            ("u", "a", 1, 1, "train"), ("u", "b", 0, 2, "train"), ("v", "a", 1, 3, "train"),
            ("u", "c", 1, 4, "valid"), ("v", "b", 1, 5, "test"), ("u", "d", 1, 6, "test"), ("v", "c", 0, 7, "test"),
            ("u", "e", 1, 8, "test"), ("u", "e", 0, 9, "test"),  # the latest label counts
        ],
        ["user_id", "item_id", "label", "timestamp", "split"],
        orient="row",
    )  # fmt: skip
    items = {"item_id": list("abcde"), "title": list("ABCDE"), "year": ["1990"] * 5}
    genres = ["Crime, Drama", "Drama", "War", "", None]
    dataset = Dataset.from_frames(interactions, pl.DataFrame(items | {"genres": genres}))
    known = Known.of(dataset)
    assert known.popularity.rows() == [("a", 2), ("b", 0), ("c", 0), ("d", 0), ("e", 0)]
    assert sorted(known.histories.rows()) == [("u", 1), ("v", 1)]
    assert sorted(known.targets.rows()) == [("u", "d"), ("v", "b")]
    assert Known.of(dataset, "valid").targets.rows() == [("u", "c")]
    np.testing.assert_array_equal(known.vectors, [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert categories(pl.DataFrame(items)) is None
    with pytest.raises(CCFError, match="has no split; make one with `ccf-llm data split`"):
        Known.of(Dataset.from_frames(interactions.drop("split"), pl.DataFrame(items)))


def test_the_example_of_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(example, {})
    ann = (1 + 1 / 2) / (1 + 1 / np.log2(3))  # c, b, d for targets c and d; bob's b comes first
    assert float(capsys.readouterr().out) == pytest.approx((ann + 1) / 2)
    assert read_lists(Path("lists.parquet"))["item_id"].to_list() == ["c", "b", "d", "b", "c", "a"]
