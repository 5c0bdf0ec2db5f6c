"""Deduplicates a whole corpus on the engine: `dedupe` reads the input and writes texts, clusters and a report.

    read       rows | clean | fingerprint
    hits       index keys | postings of each key | the articles that share the rarest keys
    groups     hits with words in common, and versions of one page | connected components
               in very large ones: judge each pair alone | connected components of those that join
    settle     each group, in the order of its articles, as online
    write      heads with their fingerprints; members of clusters; report

The rows are numbered in the order of the input, and everything after that depends on these numbers alone. So the result
is the same for every number of processes and machines.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import daft
import daft.functions as fn
from daft import DataFrame, DataType, Expression, col, lit
from daft.runners import get_or_infer_runner_type

from worker.batch.components import connected_components
from worker.batch.files import (
    Inputs,
    ReadRows,
    engine_errors,
    find_inputs,
    read_rows,
    what_was_read,
    write_members,
    write_texts,
)
from worker.batch.functions import (
    ARTICLE_FIELDS,
    FINGERPRINT_FIELDS,
    JUDGED,
    JUDGED_FIELDS,
    LENGTH_BITS,
    LONGEST,
    MEMBERSHIP_FIELDS,
    ArticleReader,
    HitFinder,
    PairJudge,
    first_postings,
    may_share_words,
)
from worker.batch.groups import MOST_IN_GROUP
from worker.batch.intermediate import ROWS_A_FILE, Intermediate, file_of_rows, keep_numbered, spread
from worker.batch.processes import Processes, in_thread, keep_interrupts
from worker.config.schema import DedupeSettings
from worker.dedupe.judge import Deduper
from worker.errors import SourceError, UsageError, install_hint
from worker.export.outputs import open_export_folder
from worker.extract.ipc import usable_cores
from worker.files.reading import shown_path
from worker.models.base import dataclass
from worker.storage.corpus.index import MAX_POSTINGS

_PARTITION_BITS: Final = 36  # the engine's row numbers have the number of the partition above so many bits
_BLOCK_BITS: Final = 16
"""The first articles of a frequent key are looked for in blocks of 2**16, so that no list grows with the corpus."""
_PARTITIONS_A_PROCESSOR: Final = 2
"""Parts of a grouping on a cluster, for each of its processors: enough to balance. Chosen, not measured."""
_EDGE: Final = (col("member").alias("one"), col("against").alias("other"))
_OF_LARGE: Final = {"judged": JUDGED, "may_join": DataType.bool()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupeJob:
    """What to deduplicate and how: `ray` is the address of a Ray cluster, None for this machine alone."""

    inputs: Sequence[str]
    out: Path
    settings: DedupeSettings
    now: datetime
    ray: str | None = None


def dedupe(job: DedupeJob, *, tell: Callable[[str], None] = lambda _step: None) -> dict[str, object]:
    """Deduplicate the input, write the result to a new or empty folder, and return the report.

    `tell` is called with each step that begins. Raises UsageError for an unusable input or folder, and SourceError for
    an input that cannot be read; nothing is written then.
    """
    _start_engine(job.ray)
    with (
        Processes(usable_cores() if job.ray is None else 0) as processes,
        open_export_folder(job.out.absolute()) as made,
        engine_errors(", ".join(map(shown_path, job.inputs))),
    ):
        inputs = find_inputs(job.inputs)
        corpus = _Corpus(job, made / "work", processes)
        steps = partial(_run, corpus, inputs, made, tell=tell)
        report = {"files": inputs.count, **(steps() if job.ray else in_thread(steps)), **_describe(job)}
        (made / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(made / "work")
    return report


def _run(corpus: _Corpus, inputs: Inputs, made: Path, *, tell: Callable[[str], None]) -> dict[str, object]:
    """Take all steps, and return the counts for the report."""
    tell("reading")
    read = corpus.read(inputs)
    tell("finding neighbours")
    hits = corpus.find_hits()
    tell("grouping")
    groups, hits = corpus.find_groups(hits)
    tell("settling clusters")
    members = corpus.settle(groups, hits)
    tell("writing")
    counts = corpus.write(members, made)
    empty = read.rows - read.left_out - counts["texts"] - counts["copies"]
    return {"rows": read.rows, "left_out": read.left_out, "empty": empty, **counts, "problems": list(read.problems)}


def _start_engine(ray: str | None) -> None:
    """Choose the engine's runner; `local` is a new Ray on this machine. Raises UsageError if no cluster answers."""
    if ray is None:
        if get_or_infer_runner_type() != "native":
            daft.set_runner_native()
        with keep_interrupts():
            daft.from_pydict({"number": [0]}).where("number = 1").collect()  # all rows would be there without a run
        return
    try:
        import ray as cluster

        if not cluster.is_initialized():
            cluster.init(address=ray, include_dashboard=False, log_to_driver=False)
        daft.set_runner_ray(noop_if_initialized=True)
        processors = int(cluster.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    except ModuleNotFoundError:
        raise UsageError(f"--ray needs Ray: {install_hint('batch')}") from None
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise UsageError(f"--ray {ray}: no Ray cluster can be used there ({str(exc).splitlines()[0]})") from exc
    daft.set_execution_config(
        shuffle_aggregation_default_partitions=_PARTITIONS_A_PROCESSOR * processors,
        enable_scan_task_split_and_merge=True,
    )


def _describe(job: DedupeJob) -> dict[str, object]:
    """Return the part of the report that says how the result was made."""
    deduper = Deduper(job.settings)
    return {
        "judge": deduper.terms,
        "index": asdict(deduper.parameters),
        "engine": f"daft {version('daft')}, {'native' if job.ray is None else 'ray'}",
        "program": f"corpus-worker {version('corpus-worker')}",
    }


class _Corpus:
    """The articles of one run on the engine, kept in a working folder with their fingerprints and numbers."""

    def __init__(self, job: DedupeJob, work: Path, processes: Processes) -> None:
        self._now = job.now
        self._on_cluster = job.ray is not None
        work.mkdir()
        self._kept = Intermediate(work, on_cluster=self._on_cluster)
        self._reader = ArticleReader(job.now, processes)
        self._hit_finder = HitFinder(processes)
        self._pair_judge = PairJudge(job.settings, processes)
        self._articles: DataFrame
        self._files: Sequence[DataFrame] = ()

    def read(self, inputs: Inputs) -> ReadRows:
        """Clean and fingerprint all rows, and return what was read; raises SourceError if there is no text."""
        parts = (partial(self._articles_in, rows) for rows in read_rows(inputs, on_cluster=self._on_cluster))
        # On a cluster, rows that the engine writes are numbered in the order of its threads.
        folder = self._kept.folder()
        stored = next(parts)(0).collect() if self._on_cluster else keep_numbered(parts, folder)
        part = (col("number") // lit(1 << _PARTITION_BITS)).cast(DataType.int64()).alias("part")
        sizes = fn.count(col("words")).alias("size"), fn.sum(col("words")).alias("words")
        found = stored.select(part, "words").groupby("part").agg(*sizes).sort("part").to_pydict()
        starts = dict(zip(found["part"], accumulate(found["size"], initial=0), strict=False))
        self._articles = self._with_rows(stored, part, starts)
        total = int(sum(found["size"]))
        read = what_was_read(self._articles, inputs, total)
        if not sum(found["words"]) and not self.texts().limit(1).count_rows():
            raise SourceError(f"the input has no text: {(*read.problems, 'every row is empty')[0]}")
        if not self._on_cluster:
            files = (daft.read_parquet(str(file_of_rows(folder, at))) for at in range(-(-total // ROWS_A_FILE)))
            self._files = [self._with_rows(each, part, starts) for each in files]
            self._kept.expect(articles=total, words=sum(found["words"]))
        return read

    def _articles_in(self, rows: DataFrame, before: int) -> DataFrame:
        """Return the articles in rows, with numbers that begin behind those of the rows before."""
        number = fn.monotonically_increasing_id() + lit(before).cast(DataType.uint64())
        numbered = rows.with_column("number", number)
        # The same holds for rows that go to a function in the plan that numbers them.
        numbered = numbered.collect() if self._on_cluster else numbered
        row = fn.to_struct(*map(col, rows.column_names))
        return numbered.select(col("number"), self._reader.read(col("number"), row))

    def _with_rows(self, stored: DataFrame, part: Expression, starts: Mapping[int, int]) -> DataFrame:
        """Replace the engine's numbers by those of the rows in the input, and fill in times of fetching."""
        known = daft.from_pydict({"part": list(starts), "start": list(starts.values())})
        inside = (col("number") % lit(1 << _PARTITION_BITS)).cast(DataType.int64())
        numbered = (
            stored.with_column("part", part).join(known, on="part")
            if len(starts) > 1
            else stored.with_column("start", lit(0))
        )
        # The order of the input is the order of fetching, a microsecond apart.
        start_us = round((self._now - _EPOCH).total_seconds() * 1_000_000)
        fetched = (col("row") + lit(start_us)).cast(DataType.timestamp("us", "UTC"))
        return numbered.with_column("row", col("start").cast(DataType.int64()) + inside).with_column(
            "fetched_at", fn.coalesce(col("fetched_at"), fetched)
        )

    def _beside(self, parts: Iterable[DataFrame], number: str, *columns: Expression) -> Iterator[DataFrame]:
        """Add what is known of the articles whose numbers are in a column."""
        by_file: Iterable[tuple[int | None, DataFrame]] = ((None, each) for each in parts)
        if len(self._files) > 1:
            by_file = spread(parts, col(number) // lit(ROWS_A_FILE), self._kept.folder()).items()
        for file, part in by_file:
            yield part.join(self.texts(file).select(col("row").alias(number), *columns), on=number)

    def texts(self, file: int | None = None) -> DataFrame:
        """Return the articles that have words; of one file, if it is given."""
        articles = self._articles if file is None else self._files[file]
        return articles.where("shingles > 0")

    def find_hits(self) -> DataFrame:
        """Return the `row` of each article with its `hits`, the earlier articles most like it by their index keys.

        `first` is the hit that is judged first.
        """
        length = fn.when(col("shingles") < lit(LONGEST), col("shingles")).otherwise(lit(LONGEST)).cast(DataType.int64())
        posting = (col("row") * lit(1 << LENGTH_BITS) + length).alias("posting")
        size = fn.list_count(col("keys")).cast(DataType.int64()).alias("size")
        keys = self.texts().select(posting, size, col("keys").alias("key")).explode("key")
        by_key = self._kept.spread([keys], fn.hash(col("key")))
        by_row = self._kept.spread(map(self._with_postings, by_key), fn.hash(col("posting")))
        return self._kept.keep_all(map(self._hits, by_row))

    def _with_postings(self, keys: DataFrame) -> DataFrame:
        """Return the rows of the keys that several articles have, each with the postings of its key."""
        counts = keys.groupby("key").agg(fn.count(col("posting")).alias("articles")).where("articles > 1")
        shared = self._kept.keep(keys.join(counts, on="key"))
        postings = self._kept.keep(_few(shared).concat(_many(shared)))
        return shared.join(postings, on="key").select("posting", "size", "postings")

    def _hits(self, near: DataFrame) -> DataFrame:
        """Return the hits of articles, given a row for each of their keys."""
        by_article = near.groupby("posting").agg(
            fn.any_value(col("size")).alias("size"), fn.list_agg(col("postings")).alias("postings")
        )
        found = by_article.select(
            (col("posting") // lit(1 << LENGTH_BITS)).cast(DataType.int64()).alias("row"),
            self._hit_finder.find_hits(col("posting"), col("size"), col("postings")),
        )
        return found.where(fn.list_count(col("hits")) > lit(0))

    def find_groups(self, hits: DataFrame) -> tuple[DataFrame, DataFrame]:
        """Return the `row` and `group` of the articles that may belong together, and the hits with what is judged.

        Articles are in one group if hits with words in common, or versions of a page, connect them. A group of very
        many is divided. Elsewhere nothing is judged yet: `judged` and `may_join` are null.
        """
        links, versions = self._connecting(hits, self._sharing), self._kept.keep(self._versions())
        groups = connected_components(links.select(*_EDGE).concat(versions), keep=self._kept.keep)
        large = groups.groupby("group").agg(fn.count(col("row")).alias("rows")).where(col("rows") > lit(MOST_IN_GROUP))
        large = self._kept.keep(groups.join(large, on="group", how="semi").select("row"))
        if large.count_rows():
            return self._divided(large, hits, links, versions)
        return groups, hits.with_columns({name: lit(None).cast(kind) for name, kind in _OF_LARGE.items()})

    def _divided(
        self, large: DataFrame, hits: DataFrame, links: DataFrame, versions: DataFrame
    ) -> tuple[DataFrame, DataFrame]:
        """Return groups and hits as `find_groups` does, where in `large` groups only pairs that join connect."""
        pairs = self._connecting(hits.join(large, on="row", how="semi"), self._judged)
        links = links.join(large, left_on="member", right_on="row", how="anti").select(*_EDGE)
        edges = self._kept.keep(links.concat(pairs.where("joins").select(*_EDGE)).concat(versions))
        joining = edges.select(col("one").alias("row"), lit(True).alias("joins")).distinct()  # noqa: FBT003 - a value
        may_join = fn.not_null(col("joins")).alias("may_join")
        verdict = fn.to_struct(*map(col, (*MEMBERSHIP_FIELDS, "is_head"))).alias("judged")
        judged = pairs.select(col("member").alias("row"), verdict).groupby("row").agg(fn.list_agg(col("judged")))
        found = large.join(joining, on="row", how="left").select("row", may_join).join(judged, on="row", how="left")
        return connected_components(edges, keep=self._kept.keep), self._kept.keep(
            hits.join(found, on="row", how="left")
        )

    def _connecting(self, hits: DataFrame, decide: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """Return what is decided on the pairs of a row and a hit; those that `joins` marks connect all that any does.

        First each row is paired with one of its hits. Another that is connected with it already would change nothing:
        only the rest are decided as well.
        """
        first = decide(hits.select("row", col("first").alias("stored")))
        groups = connected_components(first.where("joins").select(*_EDGE), keep=self._kept.keep)
        others = hits.select("row", "first", col("hits").alias("stored")).explode("stored")
        others = others.where(col("stored") != col("first")).join(groups, on="row", how="left")
        groups = groups.select(col("row").alias("stored"), col("group").alias("stored_group"))
        others = others.join(groups, on="stored", how="left")
        is_apart = fn.coalesce(col("group"), lit(-1)) != fn.coalesce(col("stored_group"), lit(-2))
        return self._kept.keep(first.concat(decide(others.where(is_apart).select("row", "stored"))))

    def _sharing(self, pairs: DataFrame) -> DataFrame:
        """Return the pairs that may have words in common."""
        shared = may_share_words(col("of_row"), col("of_stored")).alias("joins")
        both = self._with_both(pairs, col("sketch"))
        found = (each.select(col("row").alias("member"), col("stored").alias("against"), shared) for each in both)
        return self._kept.keep_all(each.where("joins") for each in found)

    def _judged(self, pairs: DataFrame) -> DataFrame:
        """Return the pairs that have words in common, judged as if nothing else were stored."""
        both = self._with_both(pairs, _as_row("row", "shingles"))
        judged = (each.select(self._pair_judge.judge(col("of_row"), col("of_stored"))) for each in both)
        joins = fn.not_null(col("relation"))
        return self._kept.keep_all(
            each.where(fn.not_null(col("against"))).with_column("joins", joins) for each in judged
        )

    def _with_both(self, pairs: DataFrame, what: Expression) -> Iterator[DataFrame]:
        """Add what is known of the `row` and of the `stored` article of each pair."""
        return self._beside(self._beside([pairs], "row", what.alias("of_row")), "stored", what.alias("of_stored"))

    def _versions(self) -> DataFrame:
        """Return an edge from each version of a page to its first one."""
        # A hash takes less memory. Two pages with the same one would be in one group, which changes no cluster.
        pages = self.texts().select(fn.hash(col("canonical_url")).alias("page"), col("row").alias("one"))
        first = pages.groupby("page").agg(col("one").min().alias("other"), col("one").max().alias("last"))
        several = first.where(col("other") < col("last")).select("page", "other")
        return pages.join(several, on="page").where(col("one") > col("other")).select("one", "other")

    def settle(self, groups: DataFrame, hits: DataFrame) -> DataFrame:
        """Return the members of all clusters of two or more articles, with the columns of MEMBERSHIP_FIELDS."""
        members = groups.join(hits, on="row", how="left")
        # What an article of a divided group is compared with outside shows whether a text is common to many clusters.
        beside = members.where("may_join").select(col("group").alias("in"), col("hits").alias("row"))
        beside = beside.explode("row").where(fn.not_null(col("row")))
        wanted = beside.concat(groups.select(col("group").alias("in"), "row")).distinct()
        judged = map(col, (*JUDGED_FIELDS, "shingles"))
        found = self._beside([wanted.join(members, on="row", how="left")], "row", *judged)
        return self._kept.keep_all(map(self._settled, self._kept.spread(found, fn.hash(col("in")))))

    def _settled(self, found: DataFrame) -> DataFrame:
        """Return the members of the clusters of some groups, given all articles of each."""
        found = found.with_column("group", fn.coalesce(col("group"), col("row")))
        article = _as_row("row", "group", "hits", "judged", "may_join", "shingles").alias("article")
        by_group = found.select("in", article).groupby("in").agg(fn.list_agg(col("article")))
        settled = by_group.select(self._pair_judge.settle(col("in"), col("article")).alias("found")).explode("found")
        settled = settled.where(fn.not_null(col("found")))
        return settled.select(*(fn.get(col("found"), name).alias(name) for name in MEMBERSHIP_FIELDS))

    def write(self, members: DataFrame, made: Path) -> dict[str, Any]:
        """Write texts and clusters into a folder, and return the counts for the report."""
        copies = members.where("member != head").select(col("member").alias("row"))
        kept = self.texts().join(copies, on="row", how="anti").select("row", *ARTICLE_FIELDS, *FINGERPRINT_FIELDS)
        parameters = Deduper().parameters
        texts = write_texts(kept, made, parameters)
        write_members(members.sort("member"), made)
        relations = (
            members.where(fn.not_null(col("relation")))
            .groupby("relation")
            .agg(fn.count(col("member")).alias("articles"))
        )
        counted = relations.sort("relation").to_pydict()
        return {
            "texts": texts,
            "copies": copies.count_rows(),
            "clusters": members.select("head").distinct().count_rows(),
            "joined": dict(zip(counted["relation"], counted["articles"], strict=True)),
        }


def _as_row(*columns: str) -> Expression:
    """Return the columns from which our functions make an article to be judged, as one."""
    return fn.to_struct(*map(col, (*columns, *JUDGED_FIELDS)))


def _few(shared: DataFrame) -> DataFrame:
    """Return the postings of the keys that no more articles have than the online index keeps of one."""
    few = shared.where(col("articles") <= lit(MAX_POSTINGS))
    by_key = few.groupby("key").agg(fn.list_agg(col("posting")).alias("postings"))
    return by_key.select("key", fn.list_sort(col("postings")).alias("postings"))


def _many(shared: DataFrame) -> DataFrame:
    """Return the postings of the earliest articles of the keys that more articles have."""
    many = shared.where(col("articles") > lit(MAX_POSTINGS))
    block = (col("posting") // lit(1 << (LENGTH_BITS + _BLOCK_BITS))).cast(DataType.int64()).alias("block")
    by_block = many.select("key", "posting", block).groupby("key", "block").agg(fn.list_agg(col("posting")))
    first = by_block.select("key", first_postings(col("posting")).alias("posting")).explode("posting")
    by_key = first.groupby("key").agg(fn.list_agg(col("posting")))
    return by_key.select("key", first_postings(col("posting")).alias("postings"))
