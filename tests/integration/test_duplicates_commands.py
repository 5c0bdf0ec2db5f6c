"""`duplicates review` and `duplicates fit`, run as users run them, on a store of a few articles."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.commands import Desk
from worker.config.schema import Settings
from worker.runs import fit_judge
from worker.storage.store import open_store

SYLLABLES = ("an", "bình", "cao", "dũng", "giang", "hà", "khê", "lâm", "minh", "nam", "phú", "quang", "sơn", "tâm")


def lines(topic: str, count: int = 12) -> list[str]:
    chance = random.Random(topic)
    return [f"{topic.capitalize()} {' '.join(chance.choices(SYLLABLES, k=18))}." for _ in range(count)]


def page(body: list[str]) -> str:
    paragraphs = "".join(f"<p>{line}</p>" for line in body)
    return f"<html lang=vi><head><title>Cầu mới</title></head><body><h1>Cầu mới</h1>{paragraphs}</body></html>"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose store has a story, a copy of it, a shortened one, and one with as much of its own."""
    desk = Desk(folder=tmp_path)
    desk.configure()
    story = lines("cầu")
    texts = {"mot": story, "hai": story, "ba": story[:7], "bon": [*story[:6], *lines("trường")]}
    items = [{"url": f"https://{name}.example/1", "html": page(body)} for name, body in texts.items()]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    assert desk.run("ingest", "items.jsonl", "--json").record()["discovered"] == 4
    return desk


def test_review_lists_what_was_compared_until_it_is_marked(desk: Desk) -> None:
    listed = [json.loads(line) for line in desk.run("duplicates", "review", "--json").out.splitlines()]

    assert listed
    distances = [abs(each["probability"] - 0.5) for each in listed]
    assert distances == sorted(distances)
    first = listed[0]
    desk.run("duplicates", "mark", str(first["article"]), str(first["other"]), "--different")
    again = [json.loads(line) for line in desk.run("duplicates", "review", "--json").out.splitlines()]
    pair = {first["article"], first["other"]}
    assert all({each["article"], each["other"]} != pair for each in again)


def test_too_few_marks_are_refused(desk: Desk) -> None:
    desk.run("duplicates", "mark", "1", "2", "--same")

    ended = desk.run("duplicates", "fit")

    assert ended.status == 1
    assert "pairs marked as the same or different: 1, 1 of them the same; at least 6" in ended.err
    assert "duplicates review" in ended.err


def test_fitted_weights_are_stored_and_doctor_reports_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_judge, "MIN_MARKS", 2)
    desk.run("duplicates", "mark", "1", "2", "--same")
    desk.run("duplicates", "mark", "1", "4", "--different")

    settings = Settings.model_validate({"store": {"url": f"sqlite:///{desk.folder / 'corpus.db'}"}})
    tried = fit_judge.fit_judge(settings, dry_run=True)
    with open_store(settings.store.url, parameters=None, create=False) as store:
        assert store.reader.weights() is None
    refused = desk.run("duplicates", "fit")
    with open_store(settings.store.url, parameters=None, create=False) as store:
        assert store.reader.weights() is None
    kept = fit_judge.fit_judge(settings, dry_run=False, force=True)

    assert not tried.is_better
    assert refused.status == 1
    assert refused.out.splitlines()[-1] == "nothing was stored; --force stores them all the same"
    assert (tried.applied, kept.applied) == (False, True)
    assert (kept.same, kept.different) == (1, 1)
    assert tried.factors == kept.factors
    with open_store(settings.store.url, parameters=None, create=False) as store:
        assert json.loads(store.reader.weights() or "")["factors"] == kept.factors
        assert "taught" not in (store.reader.terms() or "")
    assert "taught" in desk.run("doctor").out
    assert desk.run("reprocess", "--dedupe", "--json").record()["applied"] is True
    with open_store(settings.store.url, parameters=None, create=False) as store:
        assert "taught" in (store.reader.terms() or "")


def test_fit_lists_the_stored_pairs_that_would_be_decided_otherwise(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_judge, "MIN_MARKS", 2)
    listed = [json.loads(line) for line in desk.run("duplicates", "review", "--json").out.splitlines()]
    shortened = next(each for each in listed if {each["article"], each["other"]} == {1, 3})
    desk.run("duplicates", "mark", "1", "2", "--different")
    desk.run("duplicates", "mark", "1", "4", "--same")
    settings = Settings.model_validate({"store": {"url": f"sqlite:///{desk.folder / 'corpus.db'}"}})
    monkeypatch.setattr(fit_judge, "pair_probability", lambda *_, **__: 1.0 - shortened["probability"])

    fitted = fit_judge.fit_judge(settings, dry_run=True)

    changed = {frozenset((each.article, each.other)): each for each in fitted.changed}
    assert changed[frozenset((1, 3))].before == shortened["probability"]
    assert fitted.compared >= len(fitted.changed)
    printed = desk.run("duplicates", "fit", "--dry-run").out
    assert f"of the {fitted.compared} stored pairs nearest to the threshold would be decided otherwise" in printed
