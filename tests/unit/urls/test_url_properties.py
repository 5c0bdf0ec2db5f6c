"""Properties of every URL."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.errors import SourceError
from worker.urls import canonicalise, host_of, resolve

_WORDS = st.sampled_from(
    [
        "amp",
        "print",
        "index.html",
        "tin-tuc",
        "bai-viet-moi-nhat-123456.html",
        "..",
        ".",
        "",
        "m",
        "a b",
        "%2e%2e",
        "é",
        "e\u0301",
        "%zz",
        "%",
        "%41",
        "%C3%A9",
        "x.amp",
        "x.amp.html",
        ";jsessionid=AB12",
        "(S(abcdefghij0123456789))",
        "c://d",
        "a&utm_source=x",
        "\u212a",
        "\u037esid=1",
        "\x00",
        "12345",
        "1234567890-amp.html",
    ]
)
_PAIRS = st.tuples(
    st.sampled_from(
        ["id", "p", "utm_source", "ref", "amp", "sid", "amp;x", "a+b", "%C3%A9", "", "view", "m", "?utm_x", "=", "q#"]
    ),
    st.sampled_from(["", "1", "=", "a=b", "%26", "+", "%2B", "a b", "print", "é", "%FF", "http://x.vn/?a=1", "#!/x"]),
)
_HOSTS = st.sampled_from(
    [
        "x.vn",
        "www.x.vn",
        "m.x.vn",
        "www.m.x.com.vn",
        "amp.x.vn",
        "m.vn",
        "www.com.vn",
        "X.VN.",
        "báo.vn",
        "127.0.0.1",
        "[::1]",
        "x.vn:80",
        "x.vn:8080",
        "www-x-vn.cdn.ampproject.org",
        "www.google.com",
        "l.facebook.com",
        "u:p@x.vn",
        "localhost",
    ]
)


@st.composite
def urls(draw: st.DrawFn) -> str:
    scheme = draw(st.sampled_from(["http", "https", "HTTP", "file", "http://https"]))
    path = "/".join(draw(st.lists(_WORDS, max_size=5)))
    query = "&".join(f"{name}={value}" for name, value in draw(st.lists(_PAIRS, max_size=4)))
    fragment = draw(st.sampled_from(["", "#", "#top", "#!/bai/1", "#/bai/é", "#!!"]))
    return f"{scheme}://{draw(_HOSTS)}/{path}" + (f"?{query}" if query else "") + fragment


@settings(max_examples=300)
@given(urls())
@example("https://x.vn/%3A%CC%81")
def test_canonicalising_twice_changes_nothing(url: str) -> None:
    try:
        once = canonicalise(url)
    except SourceError:
        return

    twice = canonicalise(once)

    assert twice == once
    assert once.isascii()


@given(urls().filter(lambda url: "#" not in url))
def test_the_address_to_fetch_has_the_same_key_as_the_url_it_came_from(url: str) -> None:
    try:
        key = canonicalise(url)
    except SourceError:
        return

    fetchable = resolve(url)

    assert canonicalise(fetchable) == key
    assert fetchable.isascii()


@given(st.text(max_size=60))
def test_any_text_gives_a_key_or_a_source_error(text: str) -> None:
    for url in (text, "https://x.vn/" + text, "https://" + text, "https://x.vn/?" + text):
        try:
            key = canonicalise(url)
        except SourceError:
            continue

        assert canonicalise(key) == key
        host_of(key)


@given(st.integers(min_value=1, max_value=10**9), st.integers(min_value=1, max_value=10**9))
def test_articles_that_differ_only_in_a_number_keep_different_keys(one: int, other: int) -> None:
    shapes = (
        "https://x.vn/a/b-c-d-e-{}.html",
        "https://x.vn/tin.aspx?id={}",
        "https://x.vn/?p={}",
        "https://x.vn/{}/",
        "https://x.vn/#!/bai/{}",
        "https://x.vn/index.php?sid={}",
        "https://x.vn/amp/{}",
        "https://x.vn/print/{}",
    )

    for shape in shapes:
        same = canonicalise(shape.format(one)) == canonicalise(shape.format(other))

        assert same == (one == other)
