"""Reads an article's title, section, tags, description, picture and authors, in the order of docs/extract.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import NamedTuple

from lxml.etree import iterwalk
from lxml.html import HtmlElement

from worker.charset import strip_tags
from worker.charset.characters import clean_line, count_words, fold
from worker.extract.document import INLINE_TAGS, Document, PageMarks
from worker.extract.explain import ArticleFields, Found, is_site_name, is_site_name_next, short_field, without_site_name
from worker.extract.multipage import find_caption, find_image
from worker.models.base import dataclass

# The title, without the name of the site.

# No title is longer. Chosen, not measured.
_MAX_RAW_TITLE_CHARS = 1_000
_MAX_TITLE_CHARS = 400
# A page's only heading is taken for the title from this length on, even if nothing confirms it. Chosen, not measured.
_MIN_LONE_HEADING_CHARS = 25
# The share of character pairs that two titles have in common if they are the same, or one reworded. Chosen looking at
# labelled pages, not measured one by one.
_SAME_TITLE_SHARE = 0.65
_REWORDED_TITLE_SHARE = 0.45
# The share of a declared title's character pairs that a heading must contain to be that title.
_MIN_SHARED_PAIRS = 0.3
# A short piece after a title's last bar is the name of the site, if the piece before it is longer.
_BARS = "|｜ㅣ│»«‹⋆"
_LAST_BAR = re.compile(rf"(?:\s?[{_BARS}]\s?|_(?=[\u3040-\u9fff]))(?=[^{_BARS}_]{{1,40}}\Z)")
_MIN_WORDS_BEFORE_BAR = 4
# JSON-LD's headlines are cut off at 110 characters, often without a mark: from this length on, a longer title that
# begins alike is the whole one.
_MIN_CUT_CHARS = 100
_CUT_OFF = re.compile(r"\s?(?:…|(?<!\.)\.{3,})\Z")
# Bounds the work on a hostile page. Chosen, not measured.
_MAX_HEADINGS = 20

_CharPairs = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """A title and its origin: `json-ld`, `meta`, `h1`, `title`, `feed`."""

    text: str = ""
    origin: str = ""

    def __bool__(self) -> bool:
        """Return whether there is a title."""
        return bool(self.text)


def find_title(document: Document, *, feed_title: str | None = None) -> Title:
    """Return the page's title, that of the feed if the page has none, an empty one if there is neither.

    A page gives its title in up to five places. A heading counts only if it resembles one of the others: pages also
    have headings that are not their article's (`Mobile`, the name of the newspaper).
    """
    names = _site_names(document)
    said = _declared_titles(document, names)
    heading = _article_heading(document, said)
    order = [said.json_ld, heading, said.open_graph, said.other_meta]
    order.append(Title(text=_before_bar(said.title_tag.text), origin="title"))
    order.append(Title(text=next(_headings(document), ""), origin="h1"))
    # What is only the site's name comes last; some sites declare the title as their name.
    order.sort(key=lambda title: title is not heading and fold(title.text) in names)
    best = (
        _wording_for_readers(said, heading)
        or next(filter(None, order), None)
        or Title(text=_clean(feed_title or "", frozenset()), origin="feed")
    )
    if heading and is_site_name_next(best.text, heading.text):
        # The rest of the title is the name of the site, which the page does not declare.
        return heading
    return next((title for title in order if _is_better_written(title.text, best.text)), best if best else Title())


def _is_better_written(title: str, best: str) -> bool:
    """Return whether a title is the best one without being cut off, or the same in small letters."""
    if best.isupper() and fold(title) == fold(best):
        return not title.isupper()
    begin = _CUT_OFF.sub("", best)
    is_cut = len(best) >= _MIN_CUT_CHARS or len(begin) < len(best)
    return is_cut and title.startswith(begin) and len(title) > len(best) and not is_site_name_next(title, begin)


class _DeclaredTitles(NamedTuple):
    """The titles that a page's head declares, without the site's name."""

    json_ld: Title
    open_graph: Title
    other_meta: Title
    title_tag: Title


def _declared_titles(document: Document, names: frozenset[str]) -> _DeclaredTitles:
    return _DeclaredTitles(
        json_ld=Title(text=_clean(document.json_ld.headline, names), origin="json-ld"),
        open_graph=Title(text=_clean(document.meta_value("og:title"), names), origin="meta"),
        other_meta=Title(text=_clean(document.meta_value("twitter:title", "dc.title", "title"), names), origin="meta"),
        title_tag=Title(text=_before_bar(_clean(document.title_tag, names)), origin="title"),
    )


def _clean(raw: str, names: frozenset[str]) -> str:
    """Return a title without markup and the site's name; an empty string for a text too long for a title."""
    text = clean_line(strip_tags(raw[:_MAX_RAW_TITLE_CHARS]))
    return without_site_name(text, names) if len(text) <= _MAX_TITLE_CHARS else ""


def _before_bar(title: str) -> str:
    """Return a title without the short piece after its last bar, which is the name of the site or the section."""
    bar = _LAST_BAR.search(title)
    before = title[: bar.start()] if bar else ""
    return before if count_words(before) >= _MIN_WORDS_BEFORE_BAR and 2 * len(before) > len(title) else title


def _wording_for_readers(said: _DeclaredTitles, heading: Title) -> Title | None:
    """Return the wording for readers if JSON-LD and the `title` element have another one, for search engines.

    The wording for readers is in Open Graph and the heading, or in Open Graph alone if no other meta element agrees
    with JSON-LD.
    """
    for_engines, open_graph = fold(said.json_ld.text), said.open_graph.text
    if not (for_engines and open_graph) or for_engines == fold(open_graph) or for_engines != fold(said.title_tag.text):
        return None
    if heading and _has_wording(open_graph, heading.text):
        return heading if fold(heading.text) != for_engines else None
    reworded = _similarity(_char_pairs(open_graph), _char_pairs(said.json_ld.text)) >= _REWORDED_TITLE_SHARE
    is_alone = for_engines == fold(heading.text) and for_engines != fold(said.other_meta.text)
    return said.open_graph if is_alone and reworded else None


def _has_wording(title: str, wording: str) -> bool:
    """Return whether a title has this wording, possibly followed by the name of a site."""
    return fold(title) == fold(wording) or is_site_name_next(title, wording)


def _article_heading(document: Document, said: _DeclaredTitles) -> Title:
    """Return the heading most similar to the declared titles, else a single heading that is long enough."""
    wordings = frozenset(fold(title.text) for title in said if title)
    headings, origin = list(_headings(document, wordings)), "h1"
    if not headings and (declared := clean_line(document.meta_value("headline")[:_MAX_RAW_TITLE_CHARS])):
        headings, origin = [declared], "meta"
    others = [_char_pairs(title.text) for title in said if title]
    best, most = "", 0
    for heading in headings:
        pairs = _char_pairs(heading)
        shared = max((len(pairs & other) for other in others if _is_title_in(pairs, other)), default=0)
        if shared > most:
            best, most = heading, shared
    if not best:
        # A site with its own name in `h1` has its articles' titles in `h2`.
        elsewhere = [title.text for title in (said.open_graph, said.title_tag) if title]
        best = next((heading for heading in _headings(document, rank="h2") if _is_said(heading, elsewhere)), "")
    if not best and origin == "h1" and len(headings) == 1 and len(headings[0]) >= _MIN_LONE_HEADING_CHARS:
        best = headings[0]
    return Title(text=best, origin=origin)


def _is_title_in(heading: _CharPairs, other: _CharPairs) -> bool:
    """Return whether a heading is a declared title: similar, and not only the part with the site's name."""
    return _similarity(heading, other) >= _SAME_TITLE_SHARE and len(heading & other) >= _MIN_SHARED_PAIRS * len(other)


def _similarity(one: _CharPairs, other: _CharPairs) -> float:
    """Return the share of the shorter title's character pairs that the longer one has; works for every script."""
    return len(one & other) / max(1, min(len(one), len(other)))


def _char_pairs(title: str) -> _CharPairs:
    return frozenset(pairwise(fold(title)))


def _is_said(heading: str, titles: Iterable[str]) -> bool:
    """Return whether a heading is one of these titles, or if it is long, its beginning before the site's name."""
    is_long = len(heading) >= _MIN_LONE_HEADING_CHARS
    return any(fold(heading) == fold(title) or (is_long and is_site_name_next(title, heading)) for title in titles)


def _headings(document: Document, wordings: frozenset[str] = frozenset(), *, rank: str = "h1") -> Iterator[str]:
    """Yield the texts of the headings; of one with a part that has one of these folded wordings, only that part."""
    for heading in islice(document.tree.iter(rank), _MAX_HEADINGS):
        text = _shown_text(heading)
        if len(heading) and wordings and fold(text) not in wordings:
            text = next((part for part in _parts(heading) if fold(part) in wordings), text)
        if text:
            yield text


def _shown_text(element: HtmlElement) -> str:
    """Return an element's text with a blank at each line break and block."""
    pieces: list[str] = []
    for event, inner in islice(iterwalk(element, events=("start", "end")), _MAX_HEADINGS**2):
        if inner is not element and inner.tag not in INLINE_TAGS:
            pieces.append(" ")
        text = inner.text if event == "start" else inner.tail if inner is not element else ""
        pieces.append(text or "")
    return clean_line("".join(pieces)[:_MAX_RAW_TITLE_CHARS])


def _parts(heading: HtmlElement) -> Iterator[str]:
    """Yield the pieces of text in a heading, and the texts of its elements."""
    yield clean_line((heading.text or "")[:_MAX_RAW_TITLE_CHARS])
    for inner in islice(heading.iterdescendants(), _MAX_HEADINGS):
        yield _shown_text(inner)
        yield clean_line((inner.tail or "")[:_MAX_RAW_TITLE_CHARS])


def _site_names(document: Document) -> frozenset[str]:
    said = [
        document.meta_value("og:site_name"),
        document.meta_value("application-name"),
        document.meta_value("twitter:site"),
    ]
    said.extend(document.json_ld.site_names)
    host = document.url.partition("://")[2].partition("/")[0].partition(":")[0].removeprefix("www.")
    names = {fold(name.lstrip("@")) for name in said if name}
    return frozenset(name for name in {*names, fold(host), fold(host.partition(".")[0])} if name)


# Section, tags, description, picture and authors.


# In characters or items, chosen, not measured: longer ones are no names; of more elements, each holds one tag. A lead
# and a description that begin alike for a line are the same.
_MAX_SECTION_CHARS, _MAX_NAME_CHARS, _MAX_LIST_CHARS, _SAME_BEGINNING = 45, 60, 5_000, 60
_MAX_TAGS, _MAX_AUTHORS, _MAX_LISTS = 30, 20, 2
# fmt: off
_NO_NAMES = frozenset(map(fold, (
    "trang chủ", "trở lại trang chủ", "về trang chủ", "home", "homepage", "home page", "news home", "front",
    "front page", "startseite", "accueil", "inicio", "portada", "início", "página inicial", "forside", "hem",
    "strona główna", "главная", "главная страница", "головна", "начало", "ana sayfa", "anasayfa", "beranda", "úvod",
    "domů", "etusivu", "หน้าแรก", "首页", "首頁", "ホーム", "トップ", "홈", "الرئيسية", "होम", "হোম",
    "uncategorized", "uncategorised", "unassigned", "chưa phân loại", "chưa được phân loại", "none", "null",
    "undefined", "default", "article", "articles", "unbekannt", "sin categoría", "non classé",
)))
# Sections that say nothing of the subject: they count only where there is no other.
_ANY_NEWS = frozenset(map(fold, (
    "news", "latest news", "tin tức", "tin mới", "tin mới nhất", "nachrichten", "aktuelles", "noticias", "notícias",
    "nyheter", "nieuws", "haberler", "haber", "actualité", "actualités", "новости", "新闻", "新聞", "ニュース", "뉴스",
)))
# fmt: on
# Names that content systems write for themselves: hashes, `_Prio_3`, `NLP Category: General`.
_MACHINE_NAME = re.compile(
    r"_|[0-9a-f]{8}-[0-9a-f]{4}-|[\w -]{1,30}:(?: |[\w -]{1,30}:)|\S+\.\S+/|https?:|[\d\W]+\Z", re.IGNORECASE
)
_SUBJECT = re.compile(r"\A(?:subject|topic|tag|keyword|chủ đề)s?:\s", re.IGNORECASE)
_PATH_BEFORE_NAME = re.compile(r"\A(?:[a-z-]{1,30}/)+")
_LIST_MARKS = re.compile(r"[,;|、，；،\n]+")
_SPACES_BETWEEN_HAN = re.compile(r"(?<=[\u3040-\u9fff])\s+(?=[\u3040-\u9fff])")
_HAN = re.compile(r"[\u3040-\u9fff]")
_PART_OF_NAME = re.compile(r"\A\s?(?:&|and |và |und |et |y )", re.IGNORECASE)
_FRONT_PAGE = re.compile(r"(?:https?:)?//[^/]*/?")
_SITE = re.compile(r"\w\.\w|/")  # `VCCorp.vn`, an address
_SECTION_MARKS = re.compile(r",(?=\S)|[;|>»]")


@dataclass(frozen=True, slots=True)
class _PageWords:
    """What the candidates for a field are compared with: the site's names and the title, folded, and the text."""

    site_names: frozenset[str]
    title: str
    text: str

    def is_name(self, value: str, *, max_chars: int) -> bool:
        """Return whether a value names something, and not the site, the front page or the article itself."""
        folded = fold(value)
        return (
            bool(folded)
            and len(value) <= max_chars
            and folded not in _NO_NAMES
            and not (folded in self.title and 2 * len(folded) > len(self.title))
            and _MACHINE_NAME.match(value) is None
            and not is_site_name(value, self.site_names)
        )

    def those_in_text(self, values: Iterable[str]) -> list[str]:
        """Return the values that the title or the text contains, as whole words where a script has words."""
        text = f" {self.title} {fold(self.text)} "
        bare = text.replace(" ", "")
        words = ((value, fold(value)) for value in values)
        return [value for value, word in words if f" {word} " in text or (_HAN.search(word) and word in bare)]


def find_fields(document: Document, marks: PageMarks, *, title: str, lead: str, text: str) -> ArticleFields:
    """Return the fields that a page declares or marks; `lead` was found with the text."""
    # Some sites give the section's name to the publisher, too.
    sections_named = {
        fold(each.name) for each in document.json_ld.breadcrumbs if not _FRONT_PAGE.fullmatch(each.url) and each.url
    }
    words = _PageWords(_site_names(document) - sections_named, fold(title), text)
    sections = list(islice(_sections(document, marks, words), _MAX_TAGS))
    image = find_image(document)
    tags, authors = _find_tags(document, marks, words), _find_authors(document, words)
    single = {
        "lead": _find_lead(document, lead, text),
        "section": next((each for each in sections if fold(each.value) not in _ANY_NEWS), next(iter(sections), None)),
        "description": next(_descriptions(document), None),
        "image": image,
        "image_caption": find_caption(document, marks, image.value) if image else None,
    }
    origins = {name: found.origin for name, found in single.items() if found}
    origins |= {name: origin for name, (_, origin) in (("tags", tags), ("authors", authors)) if origin}
    return ArticleFields(
        **{name: found.value if found else None for name, found in single.items()},
        tags=tags[0],
        authors=authors[0],
        origins=origins,
    )


def _find_lead(document: Document, lead: str, text: str) -> Found | None:
    """Return the lead if the text has it, else the first paragraph if a description begins like it."""
    if lead and (lead in text or fold(lead) in fold(text)):
        return Found(clean_line(lead), "page")
    first = text.partition("\n")[0]
    begins = fold(first)[:_SAME_BEGINNING]
    is_described = any(fold(each.value).startswith(begins) for each in _descriptions(document))
    return Found(first, "page") if len(begins) == _SAME_BEGINNING and is_described else None


def _sections(document: Document, marks: PageMarks, words: _PageWords) -> Iterator[Found]:
    """Yield the possible sections: as declared, then the last step of a breadcrumb trail that names one."""
    crumbs = [each.name for each in document.json_ld.breadcrumbs if not _FRONT_PAGE.fullmatch(each.url)]
    declared = document.meta_value("article:section", "articlesection", "section", "parsely-section")
    for values, origin in (
        (document.json_ld.sections, "json-ld"),
        ((declared,), "meta"),
        (crumbs[::-1], "json-ld"),
        (marks.breadcrumbs[::-1], "breadcrumbs"),
    ):
        for value in values:
            name = short_field(_SECTION_MARKS.split(value[:_MAX_LIST_CHARS].strip(), maxsplit=1)[0])
            if words.is_name(name, max_chars=_MAX_SECTION_CHARS):
                yield Found(name, origin)


def _find_tags(document: Document, marks: PageMarks, words: _PageWords) -> tuple[tuple[str, ...], str]:
    """Return the tags of all sources, and the names of those that have any.

    Keywords for search engines often describe the site: only those count that the title or the text contains.
    """
    meta = document.meta
    found: dict[str, str] = {}
    origins = []
    summary = meta.get("description", ())  # some sites write it into their keywords
    keywords = [each for name in ("news_keywords", "keywords") for each in meta.get(name, ()) if each not in summary]
    sure = (document.json_ld.keywords, "json-ld"), (meta.get("article:tag", ()), "meta"), (marks.tags, "links")
    for values, origin in (*sure, (keywords, "keywords")):
        before = len(found)
        tags = list(islice(_split_tags(values), 2 * _MAX_TAGS))
        for tag in words.those_in_text(tags) if tags and values is keywords else tags:
            if words.is_name(tag, max_chars=_MAX_NAME_CHARS):
                found.setdefault(fold(tag), tag)
        origins += [origin] if len(found) > before else []
    return tuple(found.values())[:_MAX_TAGS], ", ".join(origins)


def _split_tags(values: Sequence[str]) -> Iterator[str]:
    for value in (each[:_MAX_LIST_CHARS].strip() for each in values):
        pieces = _LIST_MARKS.split(value) if len(values) <= _MAX_LISTS else [value]
        if len(pieces) == 1:
            pieces = _SPACES_BETWEEN_HAN.split(value)
        if any(map(_PART_OF_NAME.match, pieces)):
            pieces = [value]
        for piece in pieces:
            yield short_field(_PATH_BEFORE_NAME.sub("", _SUBJECT.sub("", piece.strip())).lstrip("#"))


def _descriptions(document: Document) -> Iterator[Found]:
    of_meta = ((document.meta_value(name), "meta") for name in ("description", "og:description"))
    for value, origin in (*of_meta, (document.json_ld.description, "json-ld")):
        if fold(text := short_field(value)):
            yield Found(text, origin)


def _find_authors(document: Document, words: _PageWords) -> tuple[tuple[str, ...], str]:
    """Return the authors, and the origin: people in JSON-LD or in meta elements, else the site if JSON-LD names it."""
    declared = [name for name in dict.fromkeys(map(short_field, document.json_ld.authors)) if name]
    said = chain.from_iterable(document.meta.get(name, ()) for name in ("author", "article:author", "dc.creator"))
    of_meta = dict.fromkeys(short_field(value).strip(" -–,;") for value in islice(said, _MAX_AUTHORS))
    for people, origin in (
        ([name for name in declared if not is_site_name(name, words.site_names)], "json-ld"),
        (
            [name for name in of_meta if words.is_name(name, max_chars=_MAX_NAME_CHARS) and not _SITE.search(name)],
            "meta",
        ),
        (declared, "json-ld"),
    ):
        if people:
            return tuple(people[:_MAX_AUTHORS]), origin
    return (), ""
