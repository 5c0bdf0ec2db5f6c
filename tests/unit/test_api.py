"""The Python interface reads a corpus as the commands do, and every example of its documentation runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.storage.factories import MINUTE, NOW, PARAMETERS, add_seed, judge, take_in
from tests.texts import page, story
from worker import api
from worker.api import Corpus, NotFoundError, StoreError, UsageError, WorkerError
from worker.storage.maintenance.forget import ForgetRequest
from worker.storage.store import open_store

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
URL = "https://paper.example/bridge"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: two versions of a page, a copy of it, a seed, and a page that was forgotten."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "data").mkdir()
    with open_store(f"sqlite:///{folder / 'data' / 'corpus.db'}", parameters=PARAMETERS) as store:
        take_in(store, URL, "cầu mới")
        take_in(store, URL, "cầu mới khánh thành", now=NOW + MINUTE)
        take_in(store, "https://copy.example/1", "khánh thành cầu mới", now=NOW + MINUTE)
        add_seed(store, "001_0123456789abcdef.txt", "tám chín mười")
        take_in(store, "https://gone.example/1", "quên đi", now=NOW + 2 * MINUTE)
        store.review.forget(ForgetRequest(target="https://gone.example/1", reason="r"), judge=judge, now=NOW)
        assert store.review.overwrite_forgotten()
    (folder / "page.html").write_bytes(page("Cầu mới", story("cầu")).body)
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Corpus:
    return Corpus(shutil.copy(made / "data" / "corpus.db", tmp_path / "corpus.db"))


def ids(texts: object) -> list[int]:
    return [text.id for text in texts]  # type: ignore[attr-defined]


def test_texts_are_those_that_an_export_writes(corpus: Corpus) -> None:
    with corpus:
        assert ids(corpus) == [2, 4]
        assert ids(corpus.texts(copies=True)) == [1, 2, 3, 4]
        assert ids(corpus.texts(kinds=["seed"])) == [4]
        assert ids(corpus.texts(before=NOW - timedelta(days=9))) == []
        assert ids(corpus.texts(min_words=4, sources=["bao"], languages=["vi"], since=NOW - timedelta(days=1))) == [2]
        found = corpus.get(f"{URL}?fbclid=1")
        assert found is not None
        assert (found.id, corpus.get(2), corpus.get("2"), corpus.get("https://x.example/")) == (2, found, found, None)
        assert list(corpus.why(2).decisions) == [1, 2]
        assert [link.duplicate_of for link in corpus.duplicates()] == [2, 2]
        assert [hit.id for hit in corpus.search("khánh thành").hits] == [2]
        assert (corpus.counts().clusters, [each.article for each in corpus.removed()]) == (2, [5])
        assert corpus.why("https://gone.example/1").forgotten is not None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda corpus: corpus.why("https://x.example/"), NotFoundError, "knows no such URL"),
        (lambda corpus: corpus.texts(since=datetime(2026, 1, 1)), UsageError, "has no time zone"),  # noqa: DTZ001
        (lambda corpus: corpus.texts(sources="bao"), UsageError, r'sources=\["bao"\]'),
        (lambda corpus: corpus.texts(kinds=["news"]), UsageError, "there are seed, article"),
        (lambda _: Corpus("missing/corpus.db"), StoreError, "does not exist yet"),
        (lambda _: Corpus("mysql://host/x"), StoreError, "use sqlite"),
        (lambda _: api.extract_page("<p>x", "no address"), WorkerError, "not a usable URL"),
    ],
)
def test_errors_are_ours_and_clear(
    corpus: Corpus, call: Callable[[Corpus], object], error: type[WorkerError], message: str
) -> None:
    with corpus, pytest.raises(error, match=message):
        call(corpus)


def test_texts_without_words_are_compared_as_well() -> None:
    assert {api.compare(one, other).relation for one, other in (("", ""), ("", "một"), ("một", ""))} == {"unique"}
    assert api.compare("một hai ba bốn năm", "một hai ba bốn năm").jaccard == 1


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_documentation_runs(made: Path, number: int) -> None:
    with chdir(made):
        exec(compile(EXAMPLES[number], f"docs/api.md, example {number + 1}", "exec"), {"__name__": "example"})


def test_everything_public_is_documented_and_the_package_itself_is_empty() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in ("Corpus", "extract_page", "fingerprint_text", "compare") if name not in text] == []
    assert sorted(api.__all__) == api.__all__
    code = """
import sys, worker
assert not {"sqlalchemy", "worker.models"} & set(sys.modules)
import worker.api
assert not {"datasketch", "trafilatura", "httpx", "lxml", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
