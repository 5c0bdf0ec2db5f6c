"""Errors of a PostgreSQL server: reported in one line with advice, or waited for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Connection, Engine, create_engine, make_url

from tests.commands import Desk, stop
from tests.contract.storage.factories import NOW, PARAMETERS, candidate, claim_one, settle
from tests.former_schemas import make_first
from tests.waiting import eventually
from worker.config.schema import Settings, StoreSettings
from worker.errors import StoreError, StoreMissing
from worker.runs.doctor.findings import Level
from worker.runs.doctor.local import check_store
from worker.storage.db.engine import connect
from worker.storage.db.locks import exclusive
from worker.storage.store import Store, open_store

pytestmark = pytest.mark.postgresql

ROLE = f"border_guest_{os.getpid()}"
A = "https://a.example/1"
SECRET = "geheim"


@pytest.fixture
def admin(bare_postgresql_url: str) -> Iterator[Engine]:
    """The server as its owner sees it, with an empty database."""
    engine = create_engine(bare_postgresql_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture
def guest(admin: Engine) -> Iterator[str]:
    """The URL of a role that was granted nothing."""
    say(admin, f"CREATE ROLE {ROLE} LOGIN")
    yield admin.url.set(username=ROLE).render_as_string(hide_password=False)
    say(admin, f"DROP OWNED BY {ROLE} CASCADE")
    say(admin, f"DROP ROLE {ROLE}")


def say(admin: Engine, *statements: str) -> None:
    with admin.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def refusal(url: str, *, patience: timedelta = timedelta(minutes=5), create: bool = True) -> str:
    """Return the line with which a store is refused; it must come at once, so that nothing is waited for."""
    with structlog.testing.capture_logs() as logs, pytest.raises(StoreError) as caught:
        open_store(url, parameters=PARAMETERS, patience=patience, create=create).close()

    assert logs == []
    assert "\n" not in str(caught.value)
    assert not caught.value.retry
    assert SECRET not in str(caught.value)
    return str(caught.value)


def remedies(line: str) -> list[str]:
    """Return the statements that a line tells an administrator to run."""
    (told,) = re.findall(r"run `([^`]+)`", line)
    return [statement.strip() for statement in told.split(";")]


def waits_of(store: Store, monkeypatch: pytest.MonkeyPatch, *, then: Callable[[int], None]) -> list[float]:
    """Let the store's waits pass at once, calling `then` with their number; return the list they are kept in."""
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        then(len(waits))
        return False

    monkeypatch.setattr(store._database._given_up, "wait", wait)
    return waits


def never(_count: int) -> None:
    """Change nothing while the store waits."""


@pytest.mark.parametrize(
    ("query", "sign"),
    [
        (f"passwort={SECRET}", 'invalid connection option "passwort"; PostgreSQL has no such parameter'),
        (f"connect_timeout={SECRET}", "bad value for connect_timeout: .*; correct the parameter in the url"),
        (f"sslmode={SECRET}", "invalid sslmode value: .*; correct the parameter in the url"),
        (f"keepalives={SECRET}", "invalid integer value .*; correct the parameter in the url"),
        (f"options=-cwork_mem={SECRET}", 'invalid value for parameter "work_mem": .*; correct the parameter'),
        ("options=-cfoo_bar=1", 'unrecognized configuration parameter "foo_bar"; correct the parameter'),
    ],
)
def test_an_error_about_a_url_parameter_does_not_show_its_value(
    bare_postgresql_url: str, query: str, sign: str
) -> None:
    assert re.search(sign, refusal(f"{bare_postgresql_url}?{query}"))


def test_the_error_for_a_missing_database_says_how_to_create_it(bare_postgresql_url: str) -> None:
    url = make_url(bare_postgresql_url).set(database="Not-There").render_as_string(hide_password=False)

    line = refusal(url)

    assert 'database "Not-There" does not exist; make it with `createdb -O corpus -E UTF8 -T template0' in line


def test_the_error_for_a_url_without_a_database_names_the_default_one(admin: Engine, guest: str) -> None:
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}")
    url = make_url(guest)._replace(database=None).render_as_string(hide_password=False)

    assert (
        f'database "{ROLE}" does not exist; make it with `createdb -O {ROLE} -E UTF8 -T template0 {ROLE}`'
        in refusal(url)
    )


def test_the_error_for_a_missing_role_says_how_to_create_it(bare_postgresql_url: str) -> None:
    url = make_url(bare_postgresql_url).set(username="nobody_here").render_as_string(hide_password=False)

    assert 'role "nobody_here" does not exist; make it with `createuser nobody_here`' in refusal(url)


def test_the_advice_for_a_role_that_may_not_log_in_works(admin: Engine, guest: str) -> None:
    say(admin, f"ALTER ROLE {ROLE} NOLOGIN", f"GRANT ALL ON SCHEMA public TO {ROLE}")

    say(admin, *remedies(refusal(guest)))

    open_store(guest, parameters=PARAMETERS).close()


def test_the_advice_for_a_role_that_may_not_connect_works(admin: Engine, guest: str) -> None:
    say(admin, f"REVOKE CONNECT ON DATABASE {admin.url.database} FROM PUBLIC")
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}")

    say(admin, *remedies(refusal(guest)))

    open_store(guest, parameters=PARAMETERS).close()
    say(admin, f"GRANT CONNECT ON DATABASE {admin.url.database} TO PUBLIC")


@pytest.mark.parametrize("granted", ["", "USAGE"])
@pytest.mark.parametrize("create", [True, False])
def test_the_advice_for_a_role_without_rights_on_the_schema_works(
    admin: Engine, guest: str, granted: str, create: bool
) -> None:
    if granted:
        say(admin, f"GRANT {granted} ON SCHEMA public TO {ROLE}")

    say(admin, *remedies(refusal(guest, create=create)))

    open_store(guest, parameters=PARAMETERS).close()


def test_the_advice_for_a_role_without_rights_on_the_tables_works(admin: Engine, guest: str) -> None:
    open_store(admin.url.render_as_string(), parameters=PARAMETERS).close()
    say(admin, f"GRANT USAGE ON SCHEMA public TO {ROLE}")

    say(admin, *remedies(refusal(guest)))

    with open_store(guest, parameters=PARAMETERS) as store:
        store.ledger.enqueue([candidate(A)], now=NOW)
        assert settle(store, claim_one(store), "một hai") is not None


def test_the_advice_for_a_read_only_role_grants_reading_only(admin: Engine, guest: str) -> None:
    open_store(admin.url.render_as_string(), parameters=PARAMETERS).close()
    for _ in range(2):  # the schema, then its tables
        with pytest.raises(StoreError, match=r"GRANT (USAGE|SELECT) ON") as caught:
            open_store(guest, parameters=None, create=False)
        say(admin, *remedies(str(caught.value)))

    with open_store(guest, parameters=None, create=False) as store:
        assert store.reader.audit().balanced
        assert store._database.read(granted) == "SELECT"
        with pytest.raises(StoreError, match=r"permission denied for table .*, run `GRANT ALL ON ALL TABLES"):
            store._database.write(lambda connection: connection.exec_driver_sql("DELETE FROM events"))


def granted(connection: Connection) -> str | None:
    asked = "SELECT string_agg(DISTINCT privilege_type, ',') FROM information_schema.role_table_grants"
    rights: str | None = connection.exec_driver_sql(f"{asked} WHERE grantee = current_user").scalar()
    return rights


def test_advice_names_the_schema_that_the_tables_are_in(admin: Engine, guest: str) -> None:
    say(admin, 'DROP SCHEMA IF EXISTS "Tin" CASCADE', 'CREATE SCHEMA "Tin"', f'GRANT USAGE ON SCHEMA "Tin" TO {ROLE}')
    path = 'options=-csearch_path="Tin"'
    open_store(f"{admin.url.render_as_string()}?{path}", parameters=PARAMETERS).close()

    say(admin, *remedies(refusal(f"{guest}?{path}")))

    open_store(f"{guest}?{path}", parameters=PARAMETERS).close()
    say(admin, 'DROP SCHEMA "Tin" CASCADE')


def test_a_role_that_does_not_own_the_tables_is_sent_to_their_owner(admin: Engine, guest: str) -> None:
    url = admin.url.render_as_string()
    open_store(url, parameters=PARAMETERS).close()
    make_first(url)
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}", f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}")

    line = refusal(guest)

    advice = "the tables have to be changed: run `corpus-worker upgrade-store` once as their owner"
    assert re.search(f"must be owner of table articles; {advice}$", line)


def test_a_read_only_command_creates_no_tables(admin: Engine) -> None:
    with pytest.raises(StoreMissing, match="does not exist yet: run `corpus-worker ingest` first"):
        open_store(admin.url.render_as_string(), parameters=None, create=False)

    with admin.connect() as connection:
        tables = connection.exec_driver_sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").scalar()
    assert tables == 0


def test_after_a_failover_a_new_connection_is_tried(admin: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(admin.url.render_as_string(), parameters=PARAMETERS) as store:
        name = admin.url.database
        before = store._database.read(backend)
        say(admin, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        say(admin, f"SELECT pg_terminate_backend({before})")
        standby: list[int] = []

        def promote(count: int) -> None:
            if count == 3:  # one for the connection that was ended, then two on the standby
                standby.append(store._database.read(backend))
                say(admin, f"ALTER DATABASE {name} RESET default_transaction_read_only")

        waits = waits_of(store, monkeypatch, then=promote)
        with structlog.testing.capture_logs() as logs:
            assert store.ledger.enqueue([candidate(A)], now=NOW) == 1

        # Kept connections would have stayed read-only: the setting of a database counts for new ones alone.
        assert store._database.read(backend) not in standby
        assert waits == [0.2, 0.4, 0.8, 1.6]
        assert "the server takes no writes (a standby, or" in logs[1]["reason"]


def backend(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_call_waits_for_a_server_without_a_free_connection(
    admin: Engine, guest: str, monkeypatch: pytest.MonkeyPatch, opened_before: bool
) -> None:
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}")
    with open_store(guest, parameters=PARAMETERS) as store:
        store._database._answered = opened_before
        store._database.engine.dispose()
        say(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")

        def make_room(count: int) -> None:
            if count == 2:
                say(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 9")

        waits = waits_of(store, monkeypatch, then=make_room)
        with structlog.testing.capture_logs() as logs:
            assert store.ledger.enqueue([candidate(A)], now=NOW) == 1

        assert waits == [0.2, 0.4]
        assert f'too many connections for role "{ROLE}"; raise its CONNECTION LIMIT' in logs[0]["reason"]


def test_a_server_that_stays_full_is_a_temporary_error(admin: Engine, guest: str) -> None:
    say(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")

    with pytest.raises(StoreError, match="raise its CONNECTION LIMIT, or lower the number of workers") as caught:
        open_store(guest, parameters=PARAMETERS, patience=timedelta(0))

    assert caught.value.retry
    assert "url" not in str(caught.value)


def cancelled(times: int) -> Callable[[Connection], int]:
    """Return work that an administrator ends so many times."""
    left = [True] * times

    def work(connection: Connection) -> int:
        if left:
            left.pop()
            connection.exec_driver_sql("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
        return 7

    return work


def test_a_cancelled_statement_is_tried_again_a_few_times(admin: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(admin.url.render_as_string(), parameters=PARAMETERS) as store:
        waits = waits_of(store, monkeypatch, then=never)

        assert store._database.write(cancelled(2)) == 7
        assert waits == [0.2, 0.4]

        with pytest.raises(StoreError, match="the statement was cancelled, or statement_timeout is too short"):
            store._database.write(cancelled(9))
        assert len(waits) == 2 + 5


def test_the_error_for_a_short_statement_timeout_says_how_to_raise_it(
    admin: Engine, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}")
    with open_store(guest, parameters=PARAMETERS) as store:
        say(admin, f"ALTER ROLE {ROLE} SET statement_timeout = '50ms'")
        store._database.engine.dispose()
        waits_of(store, monkeypatch, then=never)

        with pytest.raises(StoreError, match="canceling statement due to statement timeout; ") as caught:
            store._database.read(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(30)"))

        say(admin, *remedies(str(caught.value)))
        store._database.engine.dispose()
        store._database.read(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(0.1)"))


def test_waiting_for_a_long_table_lock_is_logged(admin: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{admin.url.render_as_string()}?options=-clock_timeout=50ms"
    with (
        open_store(url, parameters=PARAMETERS) as store,
        admin.execution_options(isolation_level="READ COMMITTED").connect() as other,
    ):
        other.exec_driver_sql("LOCK TABLE candidates")
        waits = waits_of(store, monkeypatch, then=lambda count: other.rollback() if count == 2 else None)

        with structlog.testing.capture_logs() as logs:
            assert store.ledger.enqueue([candidate(A)], now=NOW) == 1

    assert waits == [0.2, 0.4]
    assert (
        "canceling statement due to lock timeout; another session has locked the tables for long" in logs[0]["reason"]
    )


def test_all_calls_share_one_growing_wait_for_a_full_server(
    admin: Engine, guest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}")
    with open_store(guest, parameters=PARAMETERS) as store:
        store._database.engine.dispose()
        say(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        waits = waits_of(store, monkeypatch, then=never)
        store.set_patience(timedelta(seconds=1))

        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(StoreError, match="raise its CONNECTION LIMIT"):
                    store.reader.counts()

    # The first call waits for 0.2, 0.4 and what is left of its patience; those that follow begin no lower.
    assert waits == [0.2, 0.4, pytest.approx(0.4), 1.0, 1.0]
    assert len(logs) == len(waits)


def test_an_exclusive_command_reports_an_unreachable_server() -> None:
    with (
        closing(connect("postgresql+psycopg://u@127.0.0.1:1/db")) as database,
        pytest.raises(StoreError, match="cannot be reached"),
        exclusive(database, command="test"),
    ):
        pass


def test_a_daemon_waits_for_a_server_without_a_free_connection(admin: Engine, guest: str, tmp_path: Path) -> None:
    say(admin, f"GRANT ALL ON SCHEMA public TO {ROLE}", f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    desk = Desk(folder=tmp_path, environment={"CORPUS_WORKER_STORE__URL": guest})
    desk.configure()
    process = desk.start("run")
    try:
        eventually(lambda: "again_in=5s" in desk.log())
        assert "raise its CONNECTION LIMIT" in desk.log()

        say(admin, f"ALTER ROLE {ROLE} CONNECTION LIMIT 9")
        eventually(lambda: "run.started" in desk.log())

        assert stop(process).status == 143, desk.log()
    finally:
        desk.end_all()


def test_doctor_accepts_an_empty_database(admin: Engine) -> None:
    settings = Settings(store=StoreSettings(url=admin.url.render_as_string()))

    (finding,) = check_store(settings)

    assert finding.detail.endswith("is still empty; the first run creates its tables")
    assert finding.level is Level.OK
