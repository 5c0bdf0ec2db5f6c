"""The table of what PostgreSQL can have against the worker."""

from __future__ import annotations

import re
from itertools import product

import pytest

from worker.storage.sqlstates import TROUBLES, Course, remedy_of, trouble_of

NAMES = {"user": "corpus", "database": "news", "schema": "public"}
REFUSED = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "course", "remedy"),
    [
        ("FATAL:  sorry, too many clients already", Course.WAIT, "raise max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with", Course.WAIT, "raise max_connections"),
        ('FATAL:  too many connections for database "news"', Course.WAIT, "CONNECTION LIMIT"),
        ("FATAL:  no more connections allowed (max_client_conn)", Course.WAIT, "raise max_connections"),
        ("FATAL:  the database system is starting up", Course.WAIT, "wait until the server has started"),
        ("FATAL:  the database system is not yet accepting connections", Course.WAIT, "wait until the server"),
        ("FATAL:  the database system is in recovery mode", Course.WAIT, "wait until the server has started"),
        ("session is read-only", Course.WAIT, "one of them has to become the primary"),
        ("server is in hot standby mode", Course.WAIT, "one of them has to become the primary"),
        ('FATAL:  password authentication failed for user "corpus"', Course.TELL, "~/.pgpass"),
        ("fe_sendauth: no password supplied", Course.TELL, "~/.pgpass"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "corpus"', Course.TELL, "line in the server's pg_hba"),
        ('FATAL:  role "corpus" does not exist', Course.TELL, "createuser corpus"),
        ('FATAL:  role "corpus" is not permitted to log in', Course.TELL, "ALTER ROLE corpus LOGIN"),
        ('FATAL:  role "root" does not exist', Course.TELL, "createuser root"),
        ('FATAL:  database "other" does not exist', Course.TELL, "-T template0 other`"),
        ('FATAL:  database "news" does not exist', Course.TELL, "createdb -O corpus -E UTF8 -T template0 news"),
        ('FATAL:  permission denied for database "news"', Course.TELL, "GRANT CONNECT ON DATABASE news TO corpus"),
        ("FATAL:  unsupported startup parameter: options", Course.TELL, "ignore_startup_parameters = options"),
    ],
)
def test_a_connection_that_was_refused_is_known_by_the_words(words: str, course: Course, remedy: str) -> None:
    trouble = trouble_of(None, REFUSED + words)

    assert trouble is not None
    assert trouble.course is course
    assert remedy in remedy_of(trouble, words, NAMES)


@pytest.mark.parametrize(
    ("state", "course"),
    [
        ("25006", Course.WAIT),
        ("28000", None),
        ("3F000", Course.TELL),
        ("40001", Course.AGAIN),
        ("40P01", Course.AGAIN),
        ("42501", Course.TELL),
        ("42P01", None),
        ("53100", Course.TELL),
        ("53200", Course.WAIT),
        ("53400", Course.TELL),
        ("55P03", Course.WAIT),
        ("57014", Course.FEW),
        ("57P01", None),
        ("58030", Course.TELL),
    ],
)
def test_a_statement_that_failed_is_known_by_its_code_in_any_language(state: str, course: Course | None) -> None:
    trouble = trouble_of(state, "LỖI: không được phép")

    assert (trouble and trouble.course) == course


@pytest.mark.parametrize("words", ["Connection refused", "server closed the connection unexpectedly", ""])
def test_a_server_out_of_reach_is_no_trouble_of_its_own(words: str) -> None:
    assert trouble_of(None, words) is None


def test_of_several_servers_the_one_that_may_come_back_counts() -> None:
    words = (
        'FATAL:  database "news" does not exist\nMultiple connection attempts failed. All failures were:\n'
        "- host: one: FATAL:  the database system is starting up\n- host: other: FATAL:  database..."
    )

    trouble = trouble_of(None, words)

    assert trouble is not None
    assert trouble.state == "57P03"


def test_names_in_a_remedy_are_written_as_sql_writes_them() -> None:
    words = 'permission denied for schema "Tin tức"'
    trouble = trouble_of("42501", words)
    assert trouble is not None

    remedy = remedy_of(trouble, words, {**NAMES, "user": 'Bà "X"'})

    assert 'GRANT USAGE, CREATE ON SCHEMA "Tin tức" TO "Bà ""X"""' in remedy


def test_who_only_reads_is_to_be_granted_no_more_than_that() -> None:
    words = "permission denied for table articles"
    trouble = trouble_of("42501", words)
    assert trouble is not None

    remedy = remedy_of(trouble, words, {**NAMES, "schema": "news"}, only_reads=True)

    assert remedy == "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA news TO corpus`"


def test_whatever_needs_a_hand_says_what_to_do_and_names_nothing_it_does_not_know() -> None:
    for trouble, only_reads in product(TROUBLES, [False, True]):
        remedy = remedy_of(trouble, "", NAMES, only_reads=only_reads)

        assert remedy or trouble.course is Course.AGAIN
        assert not re.search(r"[{}]|None", remedy)
