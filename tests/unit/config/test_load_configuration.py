"""Loading the configuration: the file, overrides from the environment, and error messages."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.load import load_settings, mask_url, to_toml
from worker.config.schema import Settings
from worker.errors import ConfigurationError

SOURCE = '[[sources]]\nname = "paper"\nkind = "feed"\nurl = "https://paper.example/rss"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "worker.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(folder, text), environment or {})
    return str(caught.value)


def test_an_empty_file_gives_the_defaults_of_the_design(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, ""), {})

    assert settings.store.url == "sqlite:///data/corpus.db"
    assert settings.seeds.path == ("seeds",)
    assert settings.fetch.per_host_delay == timedelta(seconds=2)
    assert settings.fetch.per_host_connections == 1
    assert settings.fetch.max_connections == 32
    assert settings.fetch.timeout == timedelta(seconds=15)
    assert settings.fetch.deadline == timedelta(seconds=60)
    assert settings.fetch.max_bytes == 10_000_000
    assert settings.fetch.obey_robots is True
    assert settings.fetch.allow_networks == ()
    assert settings.fetch.connect_to == {}
    assert settings.extract.processes == 0
    assert settings.extract.timeout == timedelta(seconds=20)
    assert settings.extract.min_words == 60
    assert settings.extract.languages == ("vi",)
    assert settings.dedupe.merge_at == 0.5
    assert settings.dedupe.keep == "earliest"
    assert settings.schedule.every == timedelta(minutes=15)
    assert settings.schedule.min_every == timedelta(minutes=5)
    assert settings.schedule.max_every == timedelta(hours=12)
    assert settings.schedule.jitter == 0.1


@pytest.mark.parametrize("name", ["worker.toml", "demo.toml"])
def test_the_files_that_come_with_the_project_are_valid(name: str) -> None:
    settings = load_settings(Path(__file__).parents[3] / "config" / name, {})

    assert settings.sources


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[fetch]\ntimeout = 15\n", ["fetch.timeout", "found 15", "a duration"]),
        ('[fetch]\ntimeout = "soon"\n', ["fetch.timeout", 'found "soon"', '"15s"']),
        ('[fetch]\ntimeout = "0"\n', ["fetch.timeout", "a duration above zero"]),
        (
            '[fetch]\nmax_connections = "32"\n',
            ["fetch.max_connections", 'found "32"', "a whole number, without quotation marks"],
        ),
        ("[fetch]\nmax_connections = true\n", ["fetch.max_connections", "found true", "a whole number"]),
        ("[extract]\nmin_words = 1.5\n", ["extract.min_words", "found 1.5", "a whole number"]),
        (
            '[extract]\nlanguages = "vi"\n',
            ["extract.languages", 'found "vi"', "a list in brackets, such as ["],
        ),
        ("[extract]\nlanguages = [1]\n", ["extract.languages[1]", "found 1", "a text in quotation marks"]),
        ('[extract]\nlanguages = ["xx"]\n', ["extract.languages[1]", 'found "xx"', "the code of a language"]),
        ('[extract]\nlanguages = ["nb"]\n', ["extract.languages[1]", 'found "nb"; expected "no"']),
        ('[fetch]\nconnect_to = "a:1"\n', ["fetch.connect_to", 'found "a:1"', "a table in braces"]),
        ('extract = "vi"\n', ["extract", 'found "vi"', "expected a table [extract]"]),
        ('sources = "a"\n', ["sources", 'found "a"', "expected tables [[sources]]"]),
        ('[seeds]\nclean = "no"\n', ["seeds.clean", 'found "no"', 'expected "auto", true or false']),
        ('[web]\ntrusted_user_header = "a b"\n', ["web.trusted_user_header", "a word without blanks and commas"]),
        ("[fetch]\nmin_words = 60\n", ["fetch.min_words", "unknown key; it is a key of [extract]; expected one of"]),
        ("[fetch]\nuser-agent = 60\n", ["fetch.user-agent", "unknown key; did you mean user_agent?"]),
        ("[extrakt]\n", ["extrakt: unknown key; did you mean extract?"]),
        ("[fetch]\nmax_connections = 0\n", ["fetch.max_connections", "found 0", "a number of 1 or more"]),
        (
            '[fetch]\nobey_robots = "yes"\n',
            ["fetch.obey_robots", 'found "yes"', "true or false, without"],
        ),
        ('[fetch]\nallow_networks = ["here"]\n', ["fetch.allow_networks[1]", '"here"', '"127.0.0.0/8"']),
        ('[fetch.connect_to]\n"a.example" = "127.0.0.1:1"\n', ["fetch.connect_to", "a.example", "a host and a port"]),
        ('[fetch.connect_to]\n"a.example:443" = "127.0.0.1:99999"\n', ["fetch.connect_to", "99999"]),
        ('[fetch]\ncolour = "red"\n', ["fetch.colour", "unknown key", "one of allow_networks"]),
        ("[colour]\n", ["colour", "unknown key", "store"]),
        ("[dedupe]\nmerge_at = 1.5\n", ["dedupe.merge_at", "found 1.5", "a number of at most 1"]),
        ('[dedupe]\nkeep = "last"\n', ["dedupe.keep", 'found "last"', '"earliest", "first" or "longest"']),
        ('[store]\nurl = "mysql://x"\n', ["store.url", 'found "mysql://x"', "sqlite:///"]),
        ('[extract]\nlanguages = ["Vietnamese"]\n', ["extract.languages[1]", "the code of a language"]),
        ('[schedule]\nevery = "1m"\n', ["schedule", "min_every <= every <= max_every", "every 1m"]),
        (SOURCE + SOURCE, ['"paper" twice']),
        (SOURCE.replace("feed", "feeds"), ["sources[1].kind", 'found "feeds"', '"feed"']),
        (SOURCE.replace("https", "ftp"), ["sources[1]", "ftp://paper.example/rss", "http://"]),
        ('[[sources]]\nname = "x"\nkind = "feed"\n', ["sources[1]", 'exactly one of "url" and "path"']),
        ('[[sources]]\nname = "x"\nkind = "feed"\npath = "x"\n', ["sources[1]", '"path" goes with']),
        ('[[sources]]\nkind = "feed"\nurl = "https://x.example"\n', ["sources[1].name", "missing"]),
        (SOURCE + 'timezone = "Mars/Olympus"\n', ["sources[1].timezone", "Mars/Olympus", "Asia/Ho_Chi_Minh"]),
        (SOURCE + 'cron = "0 25 * * *"\n', ["sources[1].cron", '"0 25 * * *"', "fixed times such as", "bad hour"]),
        (SOURCE + 'cron = "@daily"\n', ["sources[1].cron", "five fields", "found 1"]),
        (SOURCE + 'cron = "0 6 * * *"\nevery = "1h"\n', ["sources[1]", 'at most one of "every" and "cron"']),
        (SOURCE + 'sitemap = "sitemap.xml"\n', ["sources[1].sitemap", '"sitemap.xml"', "http://"]),
        ('[fetch]\nrecheck = ["6h", "soon"]\n', ["fetch.recheck[2]", 'found "soon"', '"15s"']),
        (SOURCE + "tiemzone = 1\n", ["sources[1].tiemzone", "unknown key", "timezone"]),
        ('[filter]\nblock = "x"\n', ["filter.block", 'found "x"']),
        ("[filter.block]\nword = []\n", ["filter.block.word: unknown key", "one of addresses, hosts, sections, words"]),
        ('[filter.keep]\nwords = ["xổ số", "?!"]\n', ["filter.keep.words[2]", 'found "?!"', "letters or digits"]),
        ('[filter.block]\nhosts = ["*.a.example"]\n', ["filter.block.hosts[1]", '"*.a.example"', "the hosts below it"]),
        ('[filter.block]\nhosts = ["https://a.example/x"]\n', ["hosts[1]", "a.example/x", "the hosts below it"]),
        ('[filter.block]\naddresses = ["https://a.example/x"]\n', ["addresses[1]", "https://a", 'without "https://"']),
        ('[filter.block]\naddresses = ["a.example"]\n', ["addresses[1]", 'found "a.example"', '"*/video/*"']),
        ('[filter.block]\naddresses = ["/video/*"]\n', ["addresses[1]", 'found "/video/*"', '"*/video/*"']),
        (
            SOURCE + 'block = {host = ["a.example"]}\n',
            ["sources[1].block.host: unknown key", "one of addresses, hosts"],
        ),
        ('[fetch]\ntimeout = ["5s"]\n', ["fetch.timeout", '["5s"]', 'such as "15s"']),
        ("[fetch]\nmax_bytes = 1.5\n", ["fetch.max_bytes", "found 1.5", 'such as "500kB"']),
        ("[fetch\n", ["not valid TOML", "line 1"]),
        (f"x = {'[' * 9000}", ["not valid TOML", "nested too deeply"]),
    ],
)
def test_a_mistake_is_named_with_file_key_finding_and_remedy(tmp_path: Path, text: str, expected: list[str]) -> None:
    message = complaint(tmp_path, text)

    assert str(tmp_path / "worker.toml") in message
    assert all(part in message for part in expected), message


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    message = complaint(tmp_path, '[fetch]\ntimeout = "x"\ncolour = 1\n[dedupe]\nmerge_at = 2.0\n')

    assert len(message.splitlines()) == 3


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file; name another with --config FILE"):
        load_settings(tmp_path / "none.toml", {})


def test_a_file_that_is_not_text_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        load_settings(path, {})


def test_a_folder_instead_of_a_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, {})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[fetch]\ntimeout = "15s"\nobey_robots = true\n')
    environment = {
        "CORPUS_WORKER_FETCH__TIMEOUT": "7s",
        "CORPUS_WORKER_FETCH__OBEY_ROBOTS": "false",
        "CORPUS_WORKER_FETCH__MAX_CONNECTIONS": "4",
        "CORPUS_WORKER_FETCH__CONNECT_TO": '{"news.example:443": "127.0.0.1:8443"}',
        "CORPUS_WORKER_EXTRACT__LANGUAGES": "[]",
        "CORPUS_WORKER_STORE__URL": "sqlite:///elsewhere.db",
        "CORPUS_WORKER_DEDUPE__THRESHOLD": "0.7",
    }

    settings = load_settings(path, environment)

    assert settings.fetch.timeout == timedelta(seconds=7)
    assert settings.fetch.obey_robots is False
    assert settings.fetch.max_connections == 4
    assert settings.fetch.connect_to == {"news.example:443": "127.0.0.1:8443"}
    assert settings.extract.languages == ()
    assert settings.store.url == "sqlite:///elsewhere.db"
    assert settings.dedupe.threshold == 0.7


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CORPUS_WORKER_FETCH__TIMEOUT", "soon", ['found "soon"', "a duration"]),
        ("CORPUS_WORKER_FETCH__TIMEOU", "5s", ["no such setting", "CORPUS_WORKER_FETCH__TIMEOUT"]),
        ("CORPUS_WORKER_NOWHERE__TIMEOUT", "5s", ["no such setting"]),
        ("CORPUS_WORKER_FETCH__CONNECT_TO", "{oops", ["expected JSON"]),
        ("CORPUS_WORKER_EXTRACT__LANGUAGES", "[" * 90_000, ["expected JSON"]),
        ("CORPUS_WORKER_STORE__URL", "sqlite:///\udcff.db", ["not UTF-8"]),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, name: str, value: str, expected: list[str]
) -> None:
    message = complaint(tmp_path, "", {name: value})

    assert message.startswith(f"environment: {name}")
    assert all(part in message for part in expected), message


def test_other_variables_are_ignored(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, ""), {"CORPUS_WORKER_HOME": "x", "PATH": "y"}) == Settings()


def test_a_section_that_is_no_table_is_an_error_even_with_an_override(tmp_path: Path) -> None:
    message = complaint(tmp_path, "fetch = 3\n", {"CORPUS_WORKER_FETCH__TIMEOUT": "5s"})

    assert "fetch: found 3; expected a table [fetch]" in message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///data/corpus.db", "sqlite:///data/corpus.db"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me:se%40cret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql+psycopg://me:p:q@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql+psycopg://me:p/q@r@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql+psycopg:/me:secret@host/db", "postgresql+psycopg:/me:***@host/db"),
        ("postgresql+psycopg//me:secret@host/db", "postgresql+psycopg//me:***@host/db"),
        ("me:secret@host/db", "me:***@host/db"),
        ("postgresql+psycopg//me:secret@host/a", "postgresql+psycopg//me:***@host/a"),
        ("postgresql+psycopg;//me:secret@host/a", "postgresql+psycopg***@host/a"),
        ("postgresql+psycopg://me/secret@host/a", "postgresql+psycopg://me***@host/a"),
        ("postgresql+psycopg://me:secret/a", "postgresql+psycopg://me:***"),
        ("host=db dbname=corpus password=secret user=me", "host=db dbname=corpus password=***"),
        ("host=db user=me PASSWORD = 'secret and more'", "host=db user=me PASSWORD =***"),
        ("postgresql+psycopg://me@[::1]:5432/db", "postgresql+psycopg://me@[::1]:5432/db"),
        ("postgresql+psycopg://[::1]:5432/db", "postgresql+psycopg://[::1]:5432/db"),
        ("postgresql+psycopg://one:5432,other:5433/db", "postgresql+psycopg://one:5432,other:5433/db"),
        ("postgresql+psycopg:///db?host=one:5432&host=o:5432", "postgresql+psycopg:///db?host=one:5432&host=o:5432"),
        ("sqlite:///data/a:b@c.db", "sqlite:///data/a:b@c.db"),
        (
            "postgresql+psycopg://host/db?user=me&password=secret&x=1",
            "postgresql+psycopg://host/db?user=me&password=***",
        ),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_a_password_is_not_shown_in_an_error_either(tmp_path: Path) -> None:
    message = complaint(tmp_path, '[store]\nurl = "postgres://me:secret@host/db"\n')

    assert "secret" not in message
    assert "***" in message


SPELLINGS = (
    "postgresql+psycopg://me:{}@host:5432/db",
    "postgresql+psycopg//me:{}@host/db",
    "postgresql+psycopg:me:{}@host/db",
    "postgresql+psycopg:/me:{}@host/db",
    "postgresql+psycopg;//me:{}@host/db",
    "postgresql+psycopg/me:{}@host/db",
    " postgresql+psycopg://me:{}@host/db",
    "<postgresql+psycopg://me:{}@host/db>",
    "'postgresql+psycopg://me:{}@host/db'",
    "jdbc:postgresql://me:{}@host/db",
    "sqlite://me:{}@host/db",
    "//me:{}@host/db",
    "me:{}@host/db",
    ":{}@host",
    "postgresql+psycopg://me:{}",
    "postgresql+psycopg://me:{}/db",
    "host=db.example dbname=corpus user=me password={}",
    "host=db.example password = '{}' dbname=corpus",
    "password={} host=db.example",
    "host=db.example passwort={} user=me",
    "postgresql+psycopg://host/db?user=me&password={}",
    "postgresql+psycopg://host/db?Password={}&user=me",
    "postgresql+psycopg://host/db?sslpassword={}",
)
secrets = st.tuples(*[st.text("@:/?&=' %#\\\\+\"xé,;", max_size=4)] * 2).map(lambda ends: f"x{ends[0]}geheim{ends[1]}")


@given(spelling=st.sampled_from(SPELLINGS), secret=secrets)
def test_no_spelling_of_a_store_url_shows_its_password(spelling: str, secret: str) -> None:
    # Behind the last @ of a URL stands its host: where there is none, the password can have no @.
    url = spelling.format(secret if "@" in spelling or "=" in spelling else secret.replace("@", ""))

    assert "geheim" not in mask_url(url)
    assert all("geheim" not in told for told in refusals(url))


def refusals(url: str) -> Iterator[str]:
    """Yield what is said of a store's URL, as a value of the file and as one of the environment."""
    for text, environment in ((f"[store]\nurl = {json.dumps(url)}\n", {}), ("", {"CORPUS_WORKER_STORE__URL": url})):
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = to_toml(load_settings(write(Path(folder), text), environment))
            except ConfigurationError as error:
                told = str(error)
        yield told


@pytest.mark.parametrize("text", ['store = "{}"\n', '[store]\nurl = ["{}"]\n', '[fetch]\nuser_agent = ["{}"]\n'])
def test_a_password_in_the_wrong_place_is_not_shown_either(tmp_path: Path, text: str) -> None:
    message = complaint(tmp_path, text.format("postgresql+psycopg://me:geheim@host/db"))

    assert "geheim" not in message
    assert "***" in message


def test_what_is_printed_reads_back_as_the_same_configuration(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, SOURCE + '[fetch]\nmax_bytes = "3MiB"\ndeadline = "90s"\n'), {})

    printed = to_toml(settings)

    assert tomllib.loads(printed)["fetch"]["deadline"] == "1m30s"
    assert load_settings(write(tmp_path, printed), {}) == settings


@pytest.mark.parametrize(
    ("written", "zone", "moment"),
    [
        ('"2026-11-29"', "Asia/Ho_Chi_Minh", "2026-11-29T00:00:00+07:00"),
        ("2026-11-29", "Asia/Ho_Chi_Minh", "2026-11-29T00:00:00+07:00"),
        ("2026-11-29", "UTC", "2026-11-29T00:00:00+00:00"),
        ('"2026-11-29T08:30:00"', "Asia/Ho_Chi_Minh", "2026-11-29T08:30:00+07:00"),
        ("2026-11-29T08:30:00Z", "Asia/Ho_Chi_Minh", "2026-11-29T08:30:00+00:00"),
        ('"2026-11-29T08:30:00+02:00"', "UTC", "2026-11-29T08:30:00+02:00"),
    ],
)
@pytest.mark.parametrize("kind", ["feed", "sitemap", "listing", "urls"])
def test_since_is_a_day_or_a_moment_of_any_source(
    tmp_path: Path, kind: str, written: str, zone: str, moment: str
) -> None:
    text = SOURCE.replace("feed", kind) + f'since = {written}\ntimezone = "{zone}"\n'

    settings = load_settings(write(tmp_path, text), {})
    again = load_settings(write(tmp_path, to_toml(settings)), {})

    since = settings.sources[0].source().options.since
    assert since == datetime.fromisoformat(moment)
    assert again.sources[0].source().options.since == since
    assert settings.warnings() == ()


@pytest.mark.parametrize(
    "written", ['"yesterday"', '"2026-13-01"', "3", '"29.11.2026"', '"0026-11-29"', "08:00:00", '""']
)
def test_a_since_that_is_no_day_is_refused(tmp_path: Path, written: str) -> None:
    assert 'expected a day such as "2026-11-29"' in complaint(tmp_path, SOURCE + f"since = {written}\n")


@pytest.mark.parametrize(
    ("kind", "keys", "useless"),
    [
        ("feed", {"max_age": '"36h"', "article_pattern": '"a"'}, ["article_pattern", "max_age"]),
        ("feed", {"sites": '["a.vn"]', "sitemap": '"https://a.vn/s.xml"', "since": '"2026-11-29"'}, []),
        ("sitemap", {"max_age": '"36h"', "pages": "2", "sitemap": '"https://a.vn/s.xml"'}, ["sitemap", "pages"]),
        ("listing", {"article_pattern": '"a"', "pages": "2", "max_age": '"1d"'}, ["max_age"]),
        ("urls", {"keep_params": '["a"]', "other_sites": '"follow"', "sites": '["a.vn"]'}, ["other_sites", "sites"]),
        ("files", {"path": '"in"', "fold_case": "true", "archive": '"https://a.vn/{year}"'}, ["fold_case", "archive"]),
        ("warc", {"path": '"in"', "sites": '["a.vn"]', "drop_params": '["b"]', "every": '"1h"'}, ["drop_params"]),
    ],
)
def test_a_key_unused_by_its_kind_of_source_is_a_warning(
    tmp_path: Path, kind: str, keys: dict[str, str], useless: list[str]
) -> None:
    text = f'[[sources]]\nname = "paper"\nkind = "{kind}"\n' + "".join(f"{key} = {keys[key]}\n" for key in keys)
    text += "" if "path" in keys else 'url = "https://paper.example/rss"\n'

    remarks = load_settings(write(tmp_path, text), {}).warnings()

    assert [remark.split(" does nothing")[0] for remark in remarks] == [f'source "paper": {key}' for key in useless]
    assert all(f'for kind = "{kind}"' in remark for remark in remarks)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text(SOURCE, encoding="utf-8-sig")

    assert load_settings(tmp_path / "worker.toml", {}).sources[0].name == "paper"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("corpus_worker_store__url", "write it in capitals: CORPUS_WORKER_STORE__URL"),
        ("Corpus_Worker_Store__Url", "write it in capitals: CORPUS_WORKER_STORE__URL"),
        ("CORPUS_WORKER_STROE__URL", "did you mean CORPUS_WORKER_STORE__URL?"),
        ("corpus_worker_stroe__url", "did you mean CORPUS_WORKER_STORE__URL?"),
        ("CORPUS_WORKER_STORE_URL", "did you mean CORPUS_WORKER_STORE__URL?"),
        ("CORPUSWORKER_STORE__URL", "did you mean CORPUS_WORKER_STORE__URL?"),
        ("CORPUS_WOKER_STORE__URL", "did you mean CORPUS_WORKER_STORE__URL?"),
        ("CORPUS_WORKER_FETCH__USERAGENT", "did you mean CORPUS_WORKER_FETCH__USER_AGENT?"),
        ("CORPUS_WORKER_FETCH_USER_AGENT", "did you mean CORPUS_WORKER_FETCH__USER_AGENT?"),
        ("CORPUS_WORKER_FETCH__OBEY_ROBOT", "did you mean CORPUS_WORKER_FETCH__OBEY_ROBOTS?"),
        ("CORPUS_WORKER_SOURCES__X", "expected one of "),
    ],
)
def test_a_misspelt_variable_is_an_error_with_the_right_name(tmp_path: Path, name: str, meant: str) -> None:
    message = complaint(tmp_path, "", {name: "x"})

    assert message.startswith(f"environment: {name}: no such setting; {meant}")


@pytest.mark.parametrize(
    "name",
    [
        "CORPUS_WORKER_CONFIG", "CORPUS_WORKER_HOME", "CORPUS_WORKER_TEST_POSTGRESQL", "CORPUS",
        "CORPUS_WORKER_VERSION", "NLTK_CORPUS__URL", "WORKER_URL", "CELERY_WORKER_STORE__URL", "CORPUS_DIR",
    ],
)  # fmt: skip
def test_variables_of_other_programs_are_accepted(tmp_path: Path, name: str) -> None:
    assert load_settings(write(tmp_path, ""), {name: "x"}) == Settings()


def test_a_store_in_memory_is_refused(tmp_path: Path) -> None:
    message = complaint(tmp_path, '[store]\nurl = "sqlite:///:memory:"\n')

    assert "a store in memory is lost when the command ends" in message


@pytest.mark.parametrize(
    ("written", "probability"),
    [
        ("", 0.5),
        ("threshold = 0.8\ncontainment = 0.8\n", 0.5),
        ("threshold = 0.9\n", 0.7),
        ("containment = 0.5\n", 0.32),
        ("threshold = 1.0\ncontainment = 1.0\n", 0.9),
        ("threshold = 0.3\nmerge_at = 0.6\n", 0.6),
    ],
)
def test_former_keys_of_dedupe_are_translated_with_a_warning(tmp_path: Path, written: str, probability: float) -> None:
    path = tmp_path / "worker.toml"
    path.write_text(f"[dedupe]\n{written}", encoding="utf-8")

    settings = load_settings(path, {})

    remarks = settings.warnings()
    assert settings.dedupe.probability == probability
    assert len(remarks) == (1 if "threshold" in written or "containment" in written else 0)
    if remarks and "merge_at" not in written:
        assert f"merge_at = {probability:g}" in remarks[0]
