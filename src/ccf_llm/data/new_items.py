"""Items that training never meets: a share of them is taken out of train and valid, and all of their rows are test."""

from dataclasses import replace

import polars as pl

from ccf_llm.data.dataset import Dataset
from ccf_llm.data.lots import lot
from ccf_llm.data.manifest import NewItems, NewItemsBy, SplitManifest, part_records
from ccf_llm.errors import CCFError


def hold_out_items(dataset: Dataset, share: float, *, by: NewItemsBy = "time", seed: int = 0) -> Dataset:
    """The split data set with every row of some items in test, so that nothing that is trained or chosen knows them.

    Of the items that somebody has met, `share` are new: by `time` those that were first met last, of one second as
    their lots fall; `drawn`, by the lots of seed and id alone, whatever else there is. Where nobody knows the times
    they are drawn. Rows that were thinned out stay where they are.

    In test a person has met none of these items, so all that the person ever likes of them is to be found.

    Raises:
        CCFError: no split, a share that leaves no item new or none known, or one that leaves a part empty.
    """
    manifest = dataset.split
    if manifest is None:
        raise CCFError(f"data set {dataset.name!r} has no split to take items out of; split it first")
    met = dataset.interactions.group_by("item_id").agg(first=pl.col("timestamp").min())
    count = round(share * len(met))
    if not 0 < count < len(met):
        raise CCFError(
            f"split: new_items {share} of {len(met)} items leaves none new or none known; give another share"
        )
    by = by if dataset.reading.timed else "drawn"
    lots = pl.Series("lot", [lot(seed, item) for item in met["item_id"]], dtype=pl.Int64)
    met = met.with_columns(lots).sort(*(["first"] if by == "time" else []), "lot")
    new = met["item_id"].tail(count).sort()
    moves = pl.col("item_id").is_in(new.implode()) & pl.col("split").is_not_null()
    frame = dataset.interactions.with_columns(pl.when(moves).then(pl.lit("test")).otherwise("split").alias("split"))
    record = NewItems(share=share, by=by, seed=seed, items=tuple(new))
    return replace(dataset, interactions=frame, split=_recorded(manifest, frame, record), source=None)


def _recorded(manifest: SplitManifest, frame: pl.DataFrame, record: NewItems) -> SplitManifest:
    """The manifest of the parts as they are now."""
    parts = part_records(frame, {part: of.left_out for part, of in manifest.parts.items()})
    empty = next((part for part, of in parts.items() if not of.rows), None)
    if empty is not None:
        raise CCFError(f"split: without the new items the {empty} part is empty; give a smaller share of new_items")
    return manifest.model_copy(update={"parts": parts, "new_items": record})
