"""Connected components of a graph on the engine, by the alternating large-star and small-star of Kiveris et al. (2014).

"Connected Components in MapReduce and Beyond", SoCC 2014: each round is a few joins and groupings, and a graph with
chains of n nodes takes about log(n) rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import daft.functions as fn
from daft import DataFrame, col


def connected_components(edges: DataFrame, *, keep: Callable[[DataFrame], DataFrame] = DataFrame.collect) -> DataFrame:
    """Return the columns `row` and `group` of all nodes: the group of a node is the least node of its component.

    `edges` has the integer columns `one` and `other`. Nodes without edges are not listed. `keep` computes the rows of
    a frame, so that no later step computes them again.
    """
    ordered = edges.where("one != other").select(
        fn.when(col("one") > col("other"), col("one")).otherwise(col("other")).alias("one"),
        fn.when(col("one") > col("other"), col("other")).otherwise(col("one")).alias("other"),
    )
    stars = keep(ordered.distinct())
    while not _are_stars(stars):
        stars = keep(_small_star(_large_star(stars)))
    members = stars.select(col("one").alias("row"), col("other").alias("group"))
    centres = stars.select(col("other").alias("row"), col("other").alias("group")).distinct()
    return keep(members.concat(centres))


def _are_stars(edges: DataFrame) -> bool:
    """Return whether every node is linked to one smaller node, which is linked to none."""
    chained = edges.join(edges, left_on="other", right_on="one", how="semi").count_rows()
    return chained == 0 and edges.select("one").distinct().count_rows() == edges.count_rows()


def _large_star(edges: DataFrame) -> DataFrame:
    """Link the larger neighbours of each node to the least of its neighbours and itself."""
    both = edges.concat(edges.select(col("other").alias("one"), col("one").alias("other")))
    least = both.groupby("one").agg(col("other").min().alias("least"))
    least = least.select("one", fn.when(col("least") < col("one"), col("least")).otherwise(col("one")).alias("least"))
    larger = both.where("other > one")
    return larger.join(least, on="one").select(col("other").alias("one"), col("least").alias("other")).distinct()


def _small_star(edges: DataFrame) -> DataFrame:
    """Link each node and its smaller neighbours to the least of these."""
    least = edges.groupby("one").agg(col("other").min().alias("least"))
    smaller = edges.join(least, on="one").where("other != least")
    moved = smaller.select(col("other").alias("one"), col("least").alias("other"))
    own = least.select(col("one"), col("least").alias("other"))
    return moved.concat(own).distinct()
