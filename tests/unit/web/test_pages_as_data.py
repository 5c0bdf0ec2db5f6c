"""Every page as JSON: each path answers as its own description says, and lists go on where they ended."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.contract.storage.factories import PARAMETERS, take_in
from tests.unit.web.test_corpus_pages import client_of, clock
from worker.errors import UsageError
from worker.runs.reading import Browser
from worker.storage.store import Store, open_store
from worker.web.data import (
    AtomFeed,
    FeedEntry,
    Schemas,
    Within,
    cursor_values,
    make_cursor,
    parameters_of,
    to_atom,
    to_json,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'corpus.db'}", parameters=PARAMETERS) as opened:
        for number in range(1, 26):
            take_in(opened, f"https://bao.example/{number}", f"một hai ba bốn năm sáu đường {'x' * number}")
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    with Browser(store.reader, clock=clock(), sources=()) as browser:
        async with client_of(browser) as made:
            yield made


def problems(schema: dict[str, Any], value: object, components: dict[str, Any], place: str = "$") -> Iterator[str]:
    """Yield where a value is not as its JSON Schema says, as far as `Schemas` writes it."""
    if "$ref" in schema:
        yield from problems(components[schema["$ref"].rpartition("/")[2]], value, components, place)
    if "anyOf" in schema and all([*problems(each, value, components, place)] for each in schema["anyOf"]):
        yield f"{place}: {value!r} is none of {schema['anyOf']}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not in {schema['enum']}"
    kinds = schema.get("type", [])
    if kinds and not any(is_a(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{place}: {value!r} is no {kinds}"
    elif isinstance(value, dict | list):
        yield from nested_problems(schema, value, components, place)
    if schema.get("format") == "date-time" and isinstance(value, str) and not datetime.fromisoformat(value).tzinfo:
        yield f"{place}: {value} has no zone"


def nested_problems(
    schema: dict[str, Any], value: dict[str, object] | list[object], components: dict[str, Any], place: str
) -> Iterator[str]:
    if isinstance(value, list):
        items = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        for number, (item, element) in enumerate(zip(items, value, strict=False)):
            yield from problems(item, element, components, f"{place}[{number}]")
        if len(items) != len(value):
            yield f"{place}: {len(value)} instead of {len(items)}"
        return
    yield from (f"{place}: {name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, each in value.items():
        known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if known is None and "properties" in schema:
            yield f"{place}: {name} is not described"
        yield from problems(known or {}, each, components, f"{place}.{name}")


def is_a(kind: str, value: object) -> bool:
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
        "number": (int, float),
    }  # fmt: skip
    return isinstance(value, types[kind]) and (kind == "boolean" or not isinstance(value, bool))


async def test_every_path_answers_as_it_is_described(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/v1/openapi.json")).json()
    components = described["components"]["schemas"]
    given = {"q": "duong", "article_id": "1", "candidate": "1", "cursor": "", "limit": "3", "reason": ""}

    found: list[str] = []
    for path, operations in described["paths"].items():
        assert list(operations) == ["get"]
        parameters = operations["get"]["parameters"]
        assert all(each["description"] and each["schema"] for each in parameters), path
        query = {each["name"]: given[each["name"]] for each in parameters if each["in"] == "query"}
        answer = await client.get(re.sub(r"\{(\w+)\}", lambda match: given[match[1]], path), params=query)
        schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
        found += problems(schema, answer.json(), components, path)

    assert found == []
    assert {"/api/v1/overview", "/api/v1/search", "/api/v1/articles/{article_id}"} <= set(described["paths"])


async def test_what_is_not_there_or_not_understood_is_said_as_a_record(client: httpx.AsyncClient) -> None:
    asked = {
        "/api/v1/articles/99": (404, "there is no article 99"),
        "/api/v1/articles/x": (404, "must be a whole number"),
        "/api/v1/articles/99999999999999999999": (404, "must be a whole number"),
        "/api/v1/search?q=a&cursor=!": (400, "cursor: is none of this list"),
        "/api/v1/search?qq=a": (400, "qq: no parameter of this path; it takes cursor, q"),
        "/api/v1/none": (404, "Not Found"),
        "/api/v2/search": (404, "Not Found"),
    }

    answers = {path: (await client.get(path)) for path in asked}

    for path, (status, error) in asked.items():
        told: dict[str, object] = (
            answers[path].json() if path.startswith("/api/v1/") else {"status": 404, "error": "Not Found"}
        )
        assert (answers[path].status_code, told["status"]) == (status, status)
        assert error in str(told["error"])


async def test_a_cursor_leads_to_the_rest_of_a_list_for_people_and_programs(client: httpx.AsyncClient) -> None:
    first = (await client.get("/api/v1/search", params={"q": "duong"})).json()
    rest = (await client.get("/api/v1/search", params={"q": "duong", "cursor": first["next"]})).json()
    page = (await client.get("/search", params={"q": "duong"})).text
    link = re.search(r'href="(/search\?[^"]*)" rel="next"', page)
    assert link
    linked = (await client.get(link[1].replace("&amp;", "&"))).text

    ids = [hit["id"] for part in (first, rest) for hit in part["result"]["hits"]]
    assert sorted(ids) == list(range(1, 26))
    assert (rest["next"], len(re.findall("<mark>", linked))) == (None, 5)


async def test_the_paths_are_described_for_people(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api")).text

    assert "/api/v1/articles/{article_id}" in page
    assert "words that a text has to have" in page


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Leaf:
    """A leaf."""

    colour: Colour
    at: datetime | None
    seen: dict[int, tuple[int, str]]
    under: Leaf | None = None


def test_a_record_is_written_by_its_types() -> None:
    schemas = Schemas()
    leaf = Leaf(Colour.RED, datetime(2026, 11, 30, tzinfo=UTC), {3: (1, "a")}, Leaf(Colour.RED, None, {}))

    reference = schemas.of(Leaf)
    written = to_json(leaf)

    assert list(problems(reference, written, schemas.components)) == []
    assert list(problems(reference, written | {"colour": "blue"}, schemas.components)) != []
    assert list(problems(reference, written | {"seen": {"3": [1]}}, schemas.components)) != []
    assert to_json(float("nan")) is None
    for wrong in (b"bytes", object(), {(1, 2): 3}):
        with pytest.raises(TypeError):
            to_json(wrong)
    with pytest.raises(TypeError):
        schemas.of(bytes)


async def listed(
    *,
    need: int,
    few: Annotated[int, Within(1, 5), "how many"] = 3,
    on: bool = False,
    day: date | None = None,
    how: Literal["a", "b"] = "a",
    names: tuple[str, ...] = (),
    colour: Colour | None = None,
) -> None:
    """Take parameters of every kind."""


def test_parameters_are_read_by_their_types() -> None:
    read = {each.name: each for each in parameters_of(listed)}

    def wrong(name: str, text: str) -> str:
        with pytest.raises(UsageError) as found:
            read[name].value([text] if text else [])
        return str(found.value)

    assert [read["need"].value(["7"]), read["few"].value([]), read["few"].value([""])] == [7, 3, 3]
    assert [read["on"].value(["true"]), read["day"].value(["2026-11-30"])] == [True, date(2026, 11, 30)]
    assert [read["how"].value(["b"]), read["names"].value(["x", "y"])] == ["b", ("x", "y")]
    assert read["colour"].value(["red"]) is Colour.RED
    assert wrong("need", "") == "need: is missing"
    assert wrong("need", "7.5") == 'need: must be a whole number (found "7.5")'
    assert wrong("few", "9") == "few: must be from 1 to 5 (found 9)"
    assert wrong("how", "c") == 'how: must be a or b (found "c")'
    assert wrong("colour", "blue") == 'colour: must be red (found "blue")'
    assert wrong("day", "today") == 'day: must be a date such as 2026-11-30 (found "today")'
    assert read["few"].description == "how many"


def test_a_cursor_that_a_list_has_not_made_is_refused() -> None:
    made = make_cursor(7, "bốn")

    assert cursor_values(made, int, str) == (7, "bốn")
    assert cursor_values("", int) is None
    for wrong, kinds in ((made, (int,)), (made, (str, str)), ("W10", (int,)), ("[7]", (int,)), ("é", (int,)),
                         (make_cursor(1 << 70), (int,)), (made[:-3], (int, str)), ("W" * 5000, (int,))):  # fmt: skip
        with pytest.raises(UsageError, match="cursor"):
            cursor_values(wrong, *kinds)


def test_hostile_texts_in_a_feed_are_texts() -> None:
    hostile = "]]></title><script>&amp;\x00\x1b\ufffe\u202e\n  <a>"
    entry = FeedEntry(id="tag:a,2026:1", title=hostile, path="/articles/1", updated=datetime(2026, 11, 30, tzinfo=UTC),
                      via='https://a.example/"><x>', author=hostile, summary=hostile)  # fmt: skip
    written = to_atom(AtomFeed(id="tag:a,2026:0", title=hostile, entries=(entry,)), base="http://127.0.0.1", path="/a")

    root = ET.fromstring(written)

    names = {each.tag.partition("}")[2] for each in root.iter()}
    assert names == {"feed", "id", "title", "updated", "author", "name", "link", "entry", "summary"}
    assert "<script>&amp;" in root.findtext("{*}entry/{*}title", "")
    assert not {"\x00", "\x1b", "\u202e"} & set(written.decode())
