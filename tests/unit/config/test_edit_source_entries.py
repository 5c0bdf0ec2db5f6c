"""Sources are added to a configuration file and removed from it; everything else is unchanged."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.config.edit import (
    NewSource,
    name_for,
    source_value,
    with_enabled,
    with_sources,
    with_values,
    without_source,
)
from worker.errors import ConfigurationError, UsageError

TEXT = """# mine
[fetch]
timeout = "15s"   # short

# the first paper
[[sources]]
name = "một"
kind = "feed"
url = "https://mot.vn/rss"  # good

# the second paper
[[sources]]
url = "https://hai.vn/rss"
name = "hai"
kind = "feed"

# closing words
[schedule]
every = "15m"
"""
NEW = NewSource(name="ba", kind="feed", url='https://ba.vn/"rss"', extra_keys={"timezone": "Asia/Ho_Chi_Minh"})


def names(text: str) -> list[str]:
    return [source["name"] for source in tomllib.loads(text).get("sources", [])]


def test_a_source_is_added_after_the_others_and_nothing_else_changes() -> None:
    text = with_sources(TEXT, [NEW])

    assert names(text) == ["một", "hai", "ba"]
    assert tomllib.loads(text)["sources"][2] == {
        "name": "ba",
        "kind": "feed",
        "url": NEW.url,
        "timezone": "Asia/Ho_Chi_Minh",
    }
    head, _, tail = TEXT.partition("\n# closing words")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert tomllib.loads(text)["schedule"] == {"every": "15m"}


def test_adding_and_removing_leaves_the_text_as_it_was() -> None:
    assert without_source(with_sources(TEXT, [NEW]), "ba") == TEXT


def test_the_tables_within_a_source_belong_to_it() -> None:
    text = TEXT.replace('kind = "feed"\n\n#', 'kind = "feed"\n\n[sources.block]\nhosts = ["a.vn"]\n\n#')

    added = tomllib.loads(with_sources(text, [NEW]))["sources"]

    assert [each.get("block") for each in added] == [None, {"hosts": ["a.vn"]}, None]
    assert tomllib.loads(without_source(text, "hai"))["sources"] == tomllib.loads(TEXT)["sources"][:1]
    assert tomllib.loads(with_enabled(text, ["hai"], enabled=False))["sources"][1]["enabled"] is False


def test_removing_takes_the_source_and_leaves_the_comments_of_its_neighbours() -> None:
    text = without_source(TEXT, "một")

    assert names(text) == ["hai"]
    assert "# the second paper\n[[sources]]" in text
    assert "# closing words\n[schedule]" in text


@pytest.mark.parametrize("text", ["", "# nothing yet", '[fetch]\ntimeout = "15s"', "[fetch]\n"])
def test_the_first_source_can_be_added_to_any_file(text: str) -> None:
    result = with_sources(text, [NEW])

    assert result.startswith(text)
    assert names(result) == ["ba"]


def test_an_existing_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'hai' already"):
        with_sources(TEXT, [NewSource(name="hai", kind="feed", url="https://x.vn")])


def test_an_unknown_name_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match="there are một, hai"):
        without_source(TEXT, "ba")


@pytest.mark.parametrize(
    "text",
    [
        "[fetch",
        "sources = [{name = 'a', kind = 'feed', url = 'https://a.vn'}]",
        'x = """\n[[sources]]\nname = "a"\n"""',
    ],
)
def test_a_file_that_cannot_be_edited_safely_is_not_touched(text: str) -> None:
    with pytest.raises((ConfigurationError, UsageError)):
        without_source(with_sources(text, [NEW]) if "sources = [" not in text else text, "a")


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5, unique=True), st.data())
def test_any_source_of_any_list_can_be_taken_out_alone(listed: list[str], data: st.DataObject) -> None:
    text = with_sources(
        "# head\n", [NewSource(name=name, kind="feed", url=f"https://{name}.vn/rss") for name in listed]
    )
    gone = data.draw(st.sampled_from(listed))

    assert names(without_source(text, gone)) == [name for name in listed if name != gone]


@pytest.mark.parametrize(
    ("url", "taken", "name"),
    [
        ("https://www.bao.com.vn/rss/home.rss", (), "bao"),
        ("https://bao.vn/rss/kinh-doanh.rss", ("bao",), "bao-kinh-doanh"),
        ("https://bao.vn/rss/kinh-doanh.rss", ("bao", "bao-kinh-doanh"), "bao-kinh-doanh-2"),
        ("https://bao.vn/feed", ("bao", "bao-2"), "bao-3"),
        ("https://bao.vn/Thời sự/", ("bao",), "bao-th-i-s"),
        ("http://_bao.vn/f", (), "bao"),
        ("http://-.vn/f", (), "feed"),
        ("http://[2001:db8::1]/f", (), "2001-db8-1"),
        ("http://192.0.2.7/f", (), "192-0-2-7"),
        ("http://127.0.0.1:8080/rss/tin.xml", (), "127-0-0-1-8080"),
        ("http://báo.vn/f", (), "xn-bo-mia"),
    ],
)
def test_a_source_is_named_after_its_site_and_section(url: str, taken: tuple[str, ...], name: str) -> None:
    assert name_for(url, taken) == name


def test_the_project_s_own_configuration_can_be_edited() -> None:
    text = (Path(__file__).parents[3] / "config/worker.toml").read_text("utf-8")

    assert without_source(with_sources(text, [NEW]), "ba") == text


def test_pausing_and_resuming_change_one_line_and_keep_the_rest() -> None:
    paused = with_enabled(TEXT, ["hai"], enabled=False)
    resumed = with_enabled(paused, ["hai"], enabled=True)

    assert set(TEXT.splitlines()) <= set(paused.splitlines())
    assert set(paused.splitlines()) - set(TEXT.splitlines()) == {"enabled = false"}
    assert [source.get("enabled") for source in tomllib.loads(paused)["sources"]] == [None, False]
    assert resumed == paused.replace("enabled = false", "enabled = true")


@pytest.mark.parametrize(
    "line",
    [
        "enabled = true",
        "enabled=true   # as ever",
        "  enabled   =   true",
        '"enabled" = true',
        "# enabled = true",
        'note = "enabled = true"',
        'note = """\nenabled = nobody\n"""',
        'note = """\nenabled = true\n"""\nenabled = true',
        "enabled = 1",
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_an_existing_key_is_changed_in_place(line: str, ending: str) -> None:
    text = f'[[sources]]\nname = "một"\n{line}\n\n[[sources]]\nname = "hai"'.replace("\n", ending)

    result = with_enabled(text, ["một", "hai"], enabled=False)

    assert [source["enabled"] for source in tomllib.loads(result)["sources"]] == [False, False]
    assert ("\n" in result.replace("\r\n", "")) is (ending == "\n")


@pytest.mark.parametrize(
    "text",
    [
        'sources = [{ name = "một" }]',
        'x = """\n[[sources]]\n"""\n[[sources]]\nname = "một"',
        '[[sources]]\nname = "một"\nnote = """\n[a]\n"""',
    ],
)
def test_an_entry_that_cannot_be_found_for_certain_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="by hand"):
        with_enabled(text, ["một"], enabled=False)


def test_pausing_an_unknown_source_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no source 'ba'"):
        with_enabled(TEXT, ["hai", "ba"], enabled=False)


def test_keys_of_a_source_are_set_and_removed_and_comments_stay() -> None:
    values = {"url": "https://a.vn", "sites": ["b.vn", "c.vn"], "pages": 2}

    changed = with_values(TEXT, "một", values)
    back = with_values(changed, "một", {"url": "https://mot.vn/rss", "sites": None, "pages": None, "every": None})

    assert 'url = "https://a.vn"  # good\nsites = ["b.vn", "c.vn"]\npages = 2\n\n# the second paper' in changed
    assert tomllib.loads(changed)["sources"][0] == {"name": "một", "kind": "feed", **values}
    assert back == TEXT


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("every", "30m", "30m"),
        ("every", '"30m"', "30m"),
        ("enabled", "False", False),
        ("enabled", "perhaps", "perhaps"),
        ("pages", "3", 3),
        ("pages", "-3", "-3"),
        ("sites", "a.vn, b.vn,", ["a.vn", "b.vn"]),
        ("sites", '["a,b"]', ["a,b"]),
        ("article_pattern", "[0-9]{6}", "[0-9]{6}"),
        ("archive", '""', ""),
        ("unknown", "1", "1"),
    ],
)
def test_a_value_is_read_as_its_key_needs_it(key: str, text: str, value: object) -> None:
    assert source_value(key, text) == value
