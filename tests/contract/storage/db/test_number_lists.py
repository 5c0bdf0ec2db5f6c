"""Lists of numbers in statements are one parameter of any length, and are looked up in an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, insert, select, text
from sqlalchemy.sql.expression import Select

from worker.storage.db.engine import connect
from worker.storage.db.sql import among, each_of, is_sqlite

SMALLEST, LARGEST = -(2**63), 2**63 - 1
NUMBERS = Table("some_numbers", MetaData(), Column("number", BigInteger, primary_key=True), Column("place", Integer))
AMONG: Select[int] = select(NUMBERS.c.number).where(among(NUMBERS.c.number, "wanted")).order_by(NUMBERS.c.number)


@pytest.fixture
def connection(store_url: str) -> Iterator[Connection]:
    database = connect(store_url)
    with database.engine.connect() as connection:
        NUMBERS.metadata.drop_all(connection)
        NUMBERS.create(connection)
        yield connection
        connection.rollback()
    database.close()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], []),
        ([7], []),
        ([SMALLEST, -1, 0, LARGEST], [SMALLEST, -1, 0, LARGEST]),
        ([LARGEST, 0, 0], [0, LARGEST]),
        (range(-5000, 5000), [-1, 0]),
    ],
)
def test_rows_are_found_by_any_number_of_numbers(
    connection: Connection, wanted: Sequence[int], found: list[int]
) -> None:
    connection.execute(insert(NUMBERS), [{"number": number} for number in (SMALLEST, -1, 0, LARGEST)])

    rows = connection.scalars(AMONG, {"wanted": wanted}).all()

    assert rows == found


@pytest.mark.parametrize("numbers", [[], [SMALLEST, 0, LARGEST], list(range(3000))])
def test_numbers_become_rows(connection: Connection, numbers: list[int]) -> None:
    given = each_of("given")
    connection.execute(insert(NUMBERS).from_select(["number"], select(given.c.value)), {"given": numbers})

    assert connection.scalars(select(NUMBERS.c.number).order_by(NUMBERS.c.number)).all() == numbers


def test_numbers_are_looked_up_in_the_index_even_while_the_table_is_empty(connection: Connection) -> None:
    plan = _plan(connection, str(AMONG.compile(connection)))

    assert "index" in plan.lower() or "primary key" in plan.lower()
    assert "Seq Scan" not in plan
    assert "SCAN some_numbers" not in plan


def _plan(connection: Connection, statement: str) -> str:
    if is_sqlite(connection):
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("[1, 2]",)).all()
        return "\n".join(row.detail for row in rows)
    # A prepared statement is planned for any value.
    connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
    prepared = statement.replace("%(wanted)s::BIGINT[]", "$1")
    connection.exec_driver_sql(f"PREPARE looked_up (bigint[]) AS {prepared}")
    plan = connection.exec_driver_sql("EXPLAIN EXECUTE looked_up ('{1, 2}')").scalars().all()
    connection.exec_driver_sql("DEALLOCATE looked_up")
    return "\n".join(plan)
