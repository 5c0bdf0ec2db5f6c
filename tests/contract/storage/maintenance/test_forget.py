"""What was forgotten is nowhere in the store, does not come back, and leaves the books balanced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import LargeBinary, Text, select

from tests.contract.storage.factories import (
    MINUTE,
    NOW,
    add_seed,
    add_seeds,
    article,
    candidate,
    claim_one,
    fingerprint,
    judge,
    judge_of,
    page,
    seed,
    settle,
    take_in,
)
from worker.errors import NotFoundError
from worker.models import Authority, Kind, Outcome, PreparedSeed, State
from worker.models import Text as GivenText
from worker.storage.db.database import Database
from worker.storage.db.schema import METADATA
from worker.storage.maintenance.forget import ForgetReport, ForgetRequest
from worker.storage.queue.hosts import FORGOTTEN
from worker.storage.store import Store
from worker.urls import canonicalise

A, B, C = "https://a.example/nguyen-van-a", "https://b.example/1", "https://c.example/1"
LATER = NOW + MINUTE
SECRET = "bímật"
"""A word that only the forgotten article has; full-text search has it as `bimat`."""


def forget(store: Store, target: str, **options: bool) -> ForgetReport:
    request = ForgetRequest(target=target, reason="a court order", **options)
    report = store.review.forget(request, judge=judge, now=LATER)
    assert store.review.overwrite_forgotten()
    books = store.reader.audit()
    assert books.balanced
    assert books.problems == ()
    return report


def values(store: Store) -> Iterator[str]:
    """Yield every text and every body in the store, decompressed."""
    with store.seeds.database.snapshot() as connection:
        for table in METADATA.sorted_tables:
            columns = [
                column
                for column in table.columns
                if isinstance(column.type, Text | LargeBinary) or "Packed" in repr(column.type)
            ]
            for row in connection.execute(select(*columns)) if columns else ():
                yield from (each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in row)


def bytes_of(store: Store) -> bytes:
    """Return what is in the files of a SQLite store, its log included; nothing on a server."""
    path = store.seeds.database.path
    return b"" if path is None else path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()


def state_of(store: Store, url: str) -> tuple[State, str]:
    record = store.reader.candidate(url)
    assert record is not None
    return record.state, record.reason


def test_everything_of_a_page_is_gone_and_its_copies_stay(store: Store) -> None:
    kept = replace(candidate(A), title=SECRET, fallback=f"từ feed {SECRET}")
    store.ledger.enqueue([kept, replace(kept, url=f"{A}?amp")], now=NOW)
    settle(store, claim_one(store), f"một hai {SECRET}", content=page(A, f"một hai {SECRET}".encode()))
    take_in(store, A, f"một hai ba {SECRET}", now=LATER)
    take_in(store, B, "một hai", now=LATER)
    store.review.mark(1, 3, decided="same", judge=judge, now=LATER)
    store.hosts.save_redirect(f"{A}?old", A)
    while store.index_queued_texts():
        assert b"bimat" in bytes_of(store) or not bytes_of(store)

    report = forget(store, f"{A}?utm_source=x")

    assert [each.id for each in report.selection.articles] == [1, 2]
    assert [each.id for each in report.selection.copies] == [3]
    assert report.selection.pages == 2
    assert not [value for value in values(store) if SECRET in value or "nguyen-van" in value]
    assert b"bimat" not in bytes_of(store)
    assert [head.id for head in store.reader.heads()] == [3]
    assert state_of(store, A) == state_of(store, "1") == (State.BLOCKED, "forgotten")
    assert "a court order" in store.reader.candidate(A).events[-1].detail  # type: ignore[union-attr]
    assert [(each.article, each.reason, each.at) for each in store.reader.removed()] == [
        (1, "a court order", LATER),
        (2, "a court order", LATER),
    ]

    again = forget(store, A)

    assert (again.selection.since, again.selection.articles) == (LATER, ())
    with pytest.raises(NotFoundError, match="no article 99"):
        forget(store, "99")


@pytest.mark.parametrize(
    "found_as", [A, f"{A}?fbclid=1", A.replace("https://a", "http://m.a"), f"https://cdn.ampproject.org/c/s/{A[8:]}"]
)
def test_a_forgotten_address_is_not_fetched_again(store: Store, found_as: str) -> None:
    forget(store, A)  # the store has never seen it
    found = replace(candidate(found_as), canonical_url=canonicalise(found_as), title=SECRET, fallback=SECRET)

    assert store.ledger.enqueue([found, candidate(B)], now=LATER) == 2
    assert store.ledger.enqueue([found], now=LATER) == 0

    assert not [value for value in values(store) if SECRET in value or "nguyen-van" in value]
    claims = store.ledger.claim(now=LATER, lease=MINUTE, limit=9, worker="w1")
    hidden = next(each for each in claims if each.url != B)
    assert hidden.url.startswith("forgotten:")
    store.ledger.finish(hidden, Outcome(state=State.BLOCKED, reason="forgotten"), now=LATER)
    assert state_of(store, found_as) == (State.BLOCKED, "forgotten")
    assert store.reader.audit().problems == ()


@pytest.mark.parametrize("kind", ["text", "canonical", "redirect", "file"])
def test_a_forgotten_article_is_not_stored_from_elsewhere(store: Store, kind: str) -> None:
    text, url = f"một hai {SECRET}", B
    take_in(store, A, text)
    forget(store, A)
    given = candidate(url, payload=GivenText(text=text, title=SECRET)) if kind == "file" else candidate(url)
    store.ledger.enqueue([given], now=LATER)
    claim = claim_one(store, now=LATER)
    content = page(B, text.encode()) if kind != "file" else None
    newcomer = article(B, text if kind in {"text", "file"} else f"{text} khác")
    if kind == "canonical":
        newcomer = replace(newcomer, canonical_url=A)
    if kind == "redirect":
        content = replace(page(B, text.encode()), final_url=A)

    outcome = store.ledger.settle(
        claim, newcomer, fingerprint=fingerprint(newcomer.text), judge=judge_of(newcomer), now=LATER, page=content
    )

    assert outcome is not None
    assert (outcome.state, outcome.reason) == (State.BLOCKED, "forgotten")
    assert not [value for value in values(store) if SECRET in value]
    assert state_of(store, B) == (State.BLOCKED, "forgotten")
    assert store.reader.audit().problems == ()


def test_a_rejected_page_that_redirected_to_a_forgotten_one_is_not_kept(store: Store) -> None:
    forget(store, A)
    store.ledger.enqueue([candidate(B)], now=LATER)
    content = replace(page(B, SECRET.encode()), final_url=A)

    outcome = store.ledger.finish(
        claim_one(store, now=LATER), Outcome(state=State.REJECTED, reason="short"), now=LATER, page=content
    )

    assert outcome is not None
    assert outcome.state is State.BLOCKED
    assert not [value for value in values(store) if SECRET in value]


def test_an_article_that_a_worker_holds_is_not_stored(store: Store) -> None:
    store.ledger.enqueue([candidate(A)], now=NOW)
    claim = claim_one(store)

    forget(store, A)

    assert settle(store, claim, SECRET, content=page(A, SECRET.encode())) is None
    assert store.reader.audit().articles == 0


def test_a_forgotten_seed_is_not_imported_again(store: Store) -> None:
    number = add_seed(store, "one.txt", f"một {SECRET}")

    report = forget(store, str(number))

    assert report.selection.files == ("seeds/one.txt",)
    assert not [value for value in values(store) if SECRET in value]
    again = article("seed:two.txt", f"một {SECRET}", kind=Kind.SEED)
    prepared = PreparedSeed(seed=seed("two.txt", again.text), article=again, fingerprint=fingerprint(again.text))
    (refused,) = add_seeds(store, prepared).forgotten
    assert refused.startswith("two.txt: forgotten on 2026-05-04 (a court order)")
    assert add_seed(store, "one.txt", "hai ba")  # another text under the same name
    assert [each.article for each in store.reader.removed()] == [number]


def test_an_address_is_forgotten_with_the_seeds_that_give_it(store: Store) -> None:
    ours = replace(article("seed:rows.jsonl#1", f"một {SECRET}", kind=Kind.SEED), url=A)
    other = replace(article("seed:rows.jsonl#2", "ba bốn năm", kind=Kind.SEED), url=B)
    prepared = (
        PreparedSeed(seed=seed(each.canonical_url[5:], each.text), article=each, fingerprint=fingerprint(each.text))
        for each in (ours, other)
    )
    add_seeds(store, *prepared)

    report = forget(store, f"{A}/")

    assert [each.url for each in report.selection.articles] == [A]
    assert not [value for value in values(store) if SECRET in value]
    assert store.reader.audit().seeds == 1


def test_copies_are_forgotten_with_it_if_that_is_wanted(store: Store) -> None:
    take_in(store, A, f"một hai {SECRET}")
    take_in(store, B, f"hai một {SECRET}")
    take_in(store, C, "ba bốn")

    report = forget(store, B, copies=True)

    assert [each.id for each in report.selection.articles] == [1, 2]
    assert [head.id for head in store.reader.heads()] == [3]
    assert not [value for value in values(store) if SECRET in value]


def test_a_whole_host_is_forgotten_with_all_below_it(store: Store) -> None:
    take_in(store, A, f"một {SECRET}")
    take_in(store, "https://tin.a.example/2", f"hai {SECRET}")
    take_in(store, "https://banana.example/1", "ba bốn")
    store.ledger.enqueue([candidate("https://a.example/3")], now=LATER)

    report = forget(store, "a.example", is_host=True)

    assert [each.id for each in report.selection.articles] == [1, 2]
    assert not [value for value in values(store) if SECRET in value or "//a.example" in value or "tin.a." in value]
    found = [candidate(f"https://{host}.example/9") for host in ("www.a", "moi.a", "b")]
    store.ledger.enqueue(found, now=LATER)
    assert [each.url for each in store.ledger.claim(now=LATER, lease=MINUTE, limit=9, worker="w") if "b." in each.url]
    assert not [value for value in values(store) if "moi.a" in value]
    assert forget(store, "a.example", is_host=True).selection.since == LATER


def test_with_a_host_that_led_to_another_sites_page_that_page_is_not_forgotten(store: Store) -> None:
    led = "https://a.example/di-toi-b"
    store.ledger.enqueue([candidate(led)], now=NOW)
    served = replace(article(B, f"một {SECRET}"), url=led)
    store.ledger.settle(
        claim_one(store), served, fingerprint=fingerprint(served.text), judge=judge_of(served), now=NOW, page=page(led)
    )
    take_in(store, B, served.text)
    wrapped = replace(candidate("https://a.example/url?q=c"), canonical_url=C, authority=Authority.STRANGER)
    store.ledger.enqueue([wrapped, candidate(C)], now=NOW)

    report = forget(store, "a.example", is_host=True)

    assert [each.id for each in report.selection.articles] == [1]
    assert not [value for value in values(store) if "a.example" in value]
    claims = store.ledger.claim(now=LATER, lease=MINUTE, limit=9, worker="w")
    assert sorted(each.url for each in claims) == [B, C]
    again = next(each for each in claims if each.url == B)
    assert settle(store, again, served.text) is not None
    assert state_of(store, B)[0] is State.STORED


def test_what_was_forgotten_can_be_allowed_again(store: Store) -> None:
    take_in(store, A, "một hai")
    forget(store, "1")
    forget(store, "b.example", is_host=True)

    with pytest.raises(NotFoundError, match=r"its whole host was.*nothing was lifted"):
        store.review.lift([ForgetRequest(target=A), ForgetRequest(target=B)], now=LATER)
    assert store.review.lift([ForgetRequest(target=A), ForgetRequest(target=f"{A}#top")], now=LATER) == [LATER, LATER]

    assert take_in(store, A, "một hai", now=LATER + MINUTE).state is State.STORED
    assert [each.article for each in store.reader.removed()] == [1]
    assert store.reader.audit().problems == ()


def test_what_an_interrupted_request_left_is_reported_and_done_by_the_next_one(store: Store) -> None:
    take_in(store, A, SECRET)
    report = store.review.forget(ForgetRequest(target=A, reason="r"), judge=judge, now=LATER, dry_run=True)
    assert [each.id for each in report.selection.articles] == [1]
    assert store.reader.audit().problems == ()
    store.seeds.database.write(
        lambda connection: connection.execute(
            FORGOTTEN.insert().values(
                key=f"text {article(text=SECRET).sha256}", request="x", reason="r", at=NOW, candidate_id=1
            )
        )
    )

    (problem,) = store.reader.audit().problems

    assert problem == "1 articles that were forgotten, but are still there: run `forget` again (ids 1)"


def test_a_request_that_ends_anywhere_is_completed_by_the_same_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, steps, left = Database.write, 0, iter(range(0))

    def fail(database: Database, *args: object, **options: object) -> object:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(database, *args, **options)  # type: ignore[arg-type]

    while True:
        url = f"https://a{steps}.example/nguyen-van"
        take_in(store, url, f"một hai {steps} {SECRET}", now=LATER)
        take_in(store, f"https://b{steps}.example/1", f"một hai {steps} ba", now=LATER)
        store.hosts.save_redirect(f"{url}?old", url)
        store.hosts.save_redirect(f"https://b{steps}.example/2", url)
        newest = max(head.id for head in store.reader.heads())
        store.review.mark(newest - 1, newest, decided="same", judge=judge, now=LATER)
        left = iter(range(steps))
        with monkeypatch.context() as patched:
            patched.setattr(Database, "write", fail)
            try:
                store.review.forget(ForgetRequest(target=url, reason="r"), judge=judge, now=LATER)
            except KeyboardInterrupt:
                ended = False
            else:
                ended = True
        forget(store, url)
        assert not [value for value in values(store) if SECRET in value or "nguyen-van" in value], steps
        if ended:
            break
        steps += 1
    assert steps >= 3
