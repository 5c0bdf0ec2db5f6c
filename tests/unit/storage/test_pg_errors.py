"""The table of what PostgreSQL can have against the worker."""

from __future__ import annotations

import re
from itertools import product

import pytest

from worker.storage.db.errors import PG_ERRORS, Retry, find_pg_error, remedy_of

NAMES = {"user": "corpus", "database": "news", "schema": "public"}
REFUSED = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "course", "remedy"),
    [
        ("FATAL:  sorry, too many clients already", Retry.WAIT, "raise max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with", Retry.WAIT, "raise max_connections"),
        ('FATAL:  too many connections for database "news"', Retry.WAIT, "CONNECTION LIMIT"),
        ("FATAL:  no more connections allowed (max_client_conn)", Retry.WAIT, "raise max_connections"),
        ("FATAL:  the database system is starting up", Retry.WAIT, "wait until the server has started"),
        ("FATAL:  the database system is not yet accepting connections", Retry.WAIT, "wait until the server"),
        ("FATAL:  the database system is in recovery mode", Retry.WAIT, "wait until the server has started"),
        ("session is read-only", Retry.WAIT, "one of them has to become the primary"),
        ("server is in hot standby mode", Retry.WAIT, "one of them has to become the primary"),
        ('FATAL:  password authentication failed for user "corpus"', Retry.TELL, "~/.pgpass"),
        ("fe_sendauth: no password supplied", Retry.TELL, "~/.pgpass"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "corpus"', Retry.TELL, "line in the server's pg_hba"),
        ('FATAL:  role "corpus" does not exist', Retry.TELL, "createuser corpus"),
        ('FATAL:  role "corpus" is not permitted to log in', Retry.TELL, "ALTER ROLE corpus LOGIN"),
        ('FATAL:  role "root" does not exist', Retry.TELL, "createuser root"),
        ('FATAL:  database "other" does not exist', Retry.TELL, "-T template0 other`"),
        ('FATAL:  database "news" does not exist', Retry.TELL, "createdb -O corpus -E UTF8 -T template0 news"),
        ('FATAL:  permission denied for database "news"', Retry.TELL, "GRANT CONNECT ON DATABASE news TO corpus"),
        ("FATAL:  unsupported startup parameter: options", Retry.TELL, "ignore_startup_parameters = options"),
    ],
)
def test_a_connection_that_was_refused_is_known_by_the_words(words: str, course: Retry, remedy: str) -> None:
    trouble = find_pg_error(None, REFUSED + words)

    assert trouble is not None
    assert trouble.course is course
    assert remedy in remedy_of(trouble, words, NAMES)


@pytest.mark.parametrize(
    ("state", "course"),
    [
        ("25006", Retry.WAIT),
        ("28000", None),
        ("3F000", Retry.TELL),
        ("40001", Retry.AGAIN),
        ("40P01", Retry.AGAIN),
        ("42501", Retry.TELL),
        ("42P01", None),
        ("53100", Retry.TELL),
        ("53200", Retry.WAIT),
        ("53400", Retry.TELL),
        ("55P03", Retry.WAIT),
        ("57014", Retry.FEW),
        ("57P01", None),
        ("58030", Retry.TELL),
    ],
)
def test_a_statement_that_failed_is_known_by_its_code_in_any_language(state: str, course: Retry | None) -> None:
    trouble = find_pg_error(state, "LỖI: không được phép")

    assert (trouble and trouble.course) == course


@pytest.mark.parametrize("words", ["Connection refused", "server closed the connection unexpectedly", ""])
def test_a_server_out_of_reach_is_no_trouble_of_its_own(words: str) -> None:
    assert find_pg_error(None, words) is None


def test_of_several_servers_the_one_that_may_come_back_counts() -> None:
    words = (
        'FATAL:  database "news" does not exist\nMultiple connection attempts failed. All failures were:\n'
        "- host: one: FATAL:  the database system is starting up\n- host: other: FATAL:  database..."
    )

    trouble = find_pg_error(None, words)

    assert trouble is not None
    assert trouble.state == "57P03"


def test_names_in_a_remedy_are_written_as_sql_writes_them() -> None:
    words = 'permission denied for schema "Tin tức"'
    trouble = find_pg_error("42501", words)
    assert trouble is not None

    remedy = remedy_of(trouble, words, {**NAMES, "user": 'Bà "X"'})

    assert 'GRANT USAGE, CREATE ON SCHEMA "Tin tức" TO "Bà ""X"""' in remedy


def test_who_only_reads_is_to_be_granted_no_more_than_that() -> None:
    words = "permission denied for table articles"
    trouble = find_pg_error("42501", words)
    assert trouble is not None

    remedy = remedy_of(trouble, words, {**NAMES, "schema": "news"}, only_reads=True)

    assert remedy == "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA news TO corpus`"


def test_whatever_needs_a_hand_says_what_to_do_and_names_nothing_it_does_not_know() -> None:
    for trouble, only_reads in product(PG_ERRORS, [False, True]):
        remedy = remedy_of(trouble, "", NAMES, only_reads=only_reads)

        assert remedy or trouble.course is Retry.AGAIN
        assert not re.search(r"[{}]|None", remedy)
