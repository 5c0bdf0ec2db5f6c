"""The table of PostgreSQL's errors."""

from __future__ import annotations

import re
from itertools import product

import pytest

from worker.storage.db.errors import PG_ERRORS, RetryAction, find_pg_error, remedy_of

NAMES = {"user": "corpus", "database": "news", "schema": "public"}
REFUSED = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("words", "action", "remedy"),
    [
        ("FATAL:  sorry, too many clients already", RetryAction.WAIT, "raise max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with", RetryAction.WAIT, "raise max_connections"),
        ('FATAL:  too many connections for database "news"', RetryAction.WAIT, "CONNECTION LIMIT"),
        ("FATAL:  no more connections allowed (max_client_conn)", RetryAction.WAIT, "raise max_connections"),
        ("FATAL:  the database system is starting up", RetryAction.WAIT, "wait until the server has started"),
        ("FATAL:  the database system is not yet accepting connections", RetryAction.WAIT, "wait until the server"),
        ("FATAL:  the database system is in recovery mode", RetryAction.WAIT, "wait until the server has started"),
        ("session is read-only", RetryAction.WAIT, "one of them has to become the primary"),
        ("server is in hot standby mode", RetryAction.WAIT, "one of them has to become the primary"),
        ('FATAL:  password authentication failed for user "corpus"', RetryAction.FAIL, "~/.pgpass"),
        ("fe_sendauth: no password supplied", RetryAction.FAIL, "~/.pgpass"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "corpus"',
            RetryAction.FAIL,
            "line in the server's pg_hba",
        ),
        ('FATAL:  role "corpus" does not exist', RetryAction.FAIL, "createuser corpus"),
        ('FATAL:  role "corpus" is not permitted to log in', RetryAction.FAIL, "ALTER ROLE corpus LOGIN"),
        ('FATAL:  role "root" does not exist', RetryAction.FAIL, "createuser root"),
        ('FATAL:  database "other" does not exist', RetryAction.FAIL, "-T template0 other`"),
        ('FATAL:  database "news" does not exist', RetryAction.FAIL, "createdb -O corpus -E UTF8 -T template0 news"),
        ('FATAL:  permission denied for database "news"', RetryAction.FAIL, "GRANT CONNECT ON DATABASE news TO corpus"),
        ("FATAL:  unsupported startup parameter: options", RetryAction.FAIL, "ignore_startup_parameters = options"),
    ],
)
def test_a_refused_connection_is_recognised_by_its_message(words: str, action: RetryAction, remedy: str) -> None:
    known = find_pg_error(None, REFUSED + words)

    assert known is not None
    assert known.action is action
    assert remedy in remedy_of(known, words, NAMES)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ("25006", RetryAction.WAIT),
        ("28000", None),
        ("3F000", RetryAction.FAIL),
        ("40001", RetryAction.AT_ONCE),
        ("40P01", RetryAction.AT_ONCE),
        ("42501", RetryAction.FAIL),
        ("42P01", None),
        ("53100", RetryAction.FAIL),
        ("53200", RetryAction.WAIT),
        ("53400", RetryAction.FAIL),
        ("55P03", RetryAction.WAIT),
        ("57014", RetryAction.FEW_TIMES),
        ("57P01", None),
        ("58030", RetryAction.FAIL),
    ],
)
def test_a_failed_statement_is_recognised_by_its_code_in_any_language(state: str, action: RetryAction | None) -> None:
    known = find_pg_error(state, "LỖI: không được phép")

    assert (known and known.action) == action


@pytest.mark.parametrize("words", ["Connection refused", "server closed the connection unexpectedly", ""])
def test_an_unreachable_server_has_no_entry(words: str) -> None:
    assert find_pg_error(None, words) is None


def test_among_several_servers_a_temporary_error_decides() -> None:
    words = (
        'FATAL:  database "news" does not exist\nMultiple connection attempts failed. All failures were:\n'
        "- host: one: FATAL:  the database system is starting up\n- host: other: FATAL:  database..."
    )

    known = find_pg_error(None, words)

    assert known is not None
    assert known.sqlstate == "57P03"


def test_names_in_a_remedy_are_quoted_as_sql_identifiers() -> None:
    words = 'permission denied for schema "Tin tức"'
    known = find_pg_error("42501", words)
    assert known is not None

    remedy = remedy_of(known, words, {**NAMES, "user": 'Bà "X"'})

    assert 'GRANT USAGE, CREATE ON SCHEMA "Tin tức" TO "Bà ""X"""' in remedy


def test_the_remedy_for_a_read_only_role_grants_reading_only() -> None:
    words = "permission denied for table articles"
    known = find_pg_error("42501", words)
    assert known is not None

    remedy = remedy_of(known, words, {**NAMES, "schema": "news"}, only_reads=True)

    assert remedy == "as their owner, run `GRANT SELECT ON ALL TABLES IN SCHEMA news TO corpus`"


def test_every_error_that_is_not_retried_at_once_has_a_complete_remedy() -> None:
    for known, only_reads in product(PG_ERRORS, [False, True]):
        remedy = remedy_of(known, "", NAMES, only_reads=only_reads)

        assert remedy or known.action is RetryAction.AT_ONCE
        assert not re.search(r"[{}]|None", remedy)
