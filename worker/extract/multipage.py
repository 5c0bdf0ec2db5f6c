"""An article's addresses: the next page, the canonical one, the picture's; joins its pages into one stored body.

A joined body holds the bodies one after another, each but the first after an HTML comment with its address. So a stored
article can be extracted again offline.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from worker.errors import SourceError
from worker.extract.explain import Found, short_field
from worker.models import Page
from worker.ports import Hints
from worker.urls import page_key, resolve, same_site, trusted_canonical

if TYPE_CHECKING:
    from worker.extract.document import Document, PageMarks

_BOUNDARY_MARK: Final = b"\n<!-- corpus-worker: the article goes on: "
_BOUNDARY: Final = re.compile(re.escape(_BOUNDARY_MARK) + rb"([!-~]{1,2100}) -->\n")
# A longer tag is no link to a next page. Chosen, not measured.
_MAX_LINK_CHARS: Final = 600
_LINK: Final = re.compile(rb"<(?:a|link)\s([^<>]{0,%d})>" % _MAX_LINK_CHARS, re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    rb"(?<![^\s])(rel|href)\s?=\s?(?:\"([^\"]{0,600})\"|'([^']{0,600})'|([^\s\"'<>]{1,600}))", re.IGNORECASE
)
# Bounds the work on a hostile page. Chosen, not measured.
_MAX_LINKS: Final = 3_000
_PAGE_PARAMETERS: Final = frozenset({"page", "p", "pg", "pn", "paged", "trang", "seite", "pagina", "pageno", "page_no"})
# `/bai-viet/2`, `/bai-viet-p2.html`, `/bai-viet_2.html`, `/bai-viet/page/2/`
_NUMBERED_PATH: Final = re.compile(
    r"(?:/(?:page|trang|seite|pagina|p)[/-]?|[-_,](?:p|page|trang|seite)?-?|/)(?P<number>\d{1,2})"
    r"(?P<ending>\.[a-z]{2,5})?/?\Z",
    re.IGNORECASE,
)


def next_page_url(page: Page) -> str | None:
    """Return the address of the article's next page, None if the page links none.

    `rel=next` can also mean the next article of a blog or the next page of a list. So only an address counts that
    equals this page's own except for the page number, which must be one higher.
    """
    for written in _next_links(page.body):
        try:
            url = resolve(written, base=page.final_url)
        except SourceError:
            continue
        if is_next_page(url, page.final_url):
            return url
    return None


def _next_links(body: bytes) -> Iterator[str]:
    """Yield the addresses that a page links with `rel=next`, as written."""
    for link in islice(_links_with(b"next", body), _MAX_LINKS):
        said = {match[1].lower(): match[2] or match[3] or match[4] for match in _ATTRIBUTE.finditer(link[1])}
        if b"next" in (said.get(b"rel") or b"").lower().split() and (href := said.get(b"href")):
            yield html.unescape(href.decode("utf-8", "replace"))


def _links_with(word: bytes, body: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the link tags that contain a word in lower case, without reading all the others."""
    lower, position = body.lower(), 0
    while (found := lower.find(word, position)) >= 0:
        position = found + len(word)
        opening = body.rfind(b"<", max(0, found - _MAX_LINK_CHARS - len(b"<link ")), found)
        link = _LINK.match(body, opening) if opening >= 0 else None
        if link is not None and link.end() > found:
            position = link.end()
            yield link


def is_first_page(url: str) -> bool:
    """Return whether a URL carries no page number above one, in its query or its path."""
    return _split_page_parameter(url)[1] <= 1 and not _split_page_path(url)[1]


def is_next_page(url: str, of: str) -> bool:
    """Return whether a URL is the page after `of` in the same article."""
    if not same_site(url, of) or urlsplit(url).netloc != urlsplit(of).netloc:
        return False
    (rest, number), (own_rest, own_number) = _split_page_parameter(url), _split_page_parameter(of)
    if number:
        return rest == own_rest and number == max(own_number, 1) + 1
    stem, number = _split_page_path(url)
    own_stem, own_number = _split_page_path(of)
    if number == 2:
        return stem == _without_slash(of)
    return number > 2 and own_number == number - 1 and stem == own_stem


def join_pages(pages: Sequence[Page]) -> Page:
    """Return the pages of one article as one: the first page, with the bodies of the others appended to its own."""
    first, *others = pages
    rest = (b"%s%s -->\n%s" % (_BOUNDARY_MARK, page.final_url.encode("ascii", "replace"), page.body) for page in others)
    return replace(first, body=b"".join((first.body, *rest)))


def split_pages(page: Page) -> list[Page]:
    """Return the pages that `join_pages` joined; only the page itself if it is a single one."""
    if _BOUNDARY_MARK not in page.body:
        return [page]
    body, *rest = _BOUNDARY.split(page.body)
    addresses, bodies = rest[::2], rest[1::2]
    others = [
        replace(page, final_url=address.decode("ascii"), body=each)
        for address, each in zip(addresses, bodies, strict=True)
    ]
    return [replace(page, body=body), *others]


def _split_page_parameter(url: str) -> tuple[str, int]:
    """Return a URL's path and query without the page parameter, and the page number; 0 if there is none."""
    parts_of = urlsplit(url)
    number, kept = 0, []
    for name, value in parse_qsl(parts_of.query, keep_blank_values=True):
        if name.lower() in _PAGE_PARAMETERS and value.isdecimal() and len(value) <= 2:
            number = int(value)
        else:
            kept.append((name, value))
    return f"{parts_of.path.rstrip('/')}?{urlencode(kept)}", number


def _split_page_path(url: str) -> tuple[str, int]:
    """Return a URL's path and query without the page number in the path, and that number; 0 if there is none."""
    parts_of = urlsplit(url)
    match = _NUMBERED_PATH.search(parts_of.path, 1)
    if match is None:
        return _without_slash(url), 0
    return f"{parts_of.path[: match.start()]}{match['ending'] or ''}?{parts_of.query}", int(match["number"])


def _without_slash(url: str) -> str:
    parts_of = urlsplit(url)
    return f"{parts_of.path.rstrip('/')}?{parts_of.query}"


# The canonical address: always on the site that served the page (docs/security.md).


# Bound a note on the article. Chosen, not measured.
_MAX_DECLARED_URLS = 3
_MAX_SHOWN_URL_CHARS = 300


def canonical_url_of(document: Document, hints: Hints) -> str:
    """Return the key of a page: its canonical address if that is on its own site, else the candidate's.

    A page that was redirected to another site gets the address that served it. A saved page keeps the key of its file.
    """
    if hints.canonical_url.startswith("file:"):
        return hints.canonical_url
    declared = next(iter(document.links.get("canonical", ())), None)
    if trusted := trusted_canonical(declared, page_url=document.url):
        return trusted
    return hints.canonical_url if same_site(hints.canonical_url, document.url) else page_key(document.url)


def notes_on_other_sites(document: Document) -> tuple[str, ...]:
    """Return notes on addresses of other sites that the page declares as its own; they have no other effect."""
    said = chain(
        (("rel=canonical", url) for url in document.links.get("canonical", ())[:_MAX_DECLARED_URLS]),
        (("og:url", url) for url in document.meta.get("og:url", ())[:_MAX_DECLARED_URLS]),
        (("JSON-LD", url) for url in (document.json_ld.url,) if url),
    )
    found: dict[str, list[str]] = {}
    for name, written in said:
        if url := _url_on_other_site(written, document.url):
            found.setdefault(url, []).append(name)
    return tuple(
        f"the page calls {url[:_MAX_SHOWN_URL_CHARS]} its address ({', '.join(dict.fromkeys(names))}), "
        "which is of another site"
        for url, names in found.items()
    )


def _url_on_other_site(written: str, page_url: str) -> str:
    try:
        url = resolve(written, base=page_url)
    except SourceError:
        return ""
    return "" if same_site(url, page_url) else url


# Pictures.


_MAX_PICTURES: Final = 10  # looked at for each origin; bounds the work on a hostile page
_MAX_PICTURE_URL_CHARS: Final = 2_000  # bounds the stored field; chosen, not measured
# A file name identifies a picture if two have so many characters in common from the start, and this share of the
# shorter: sizes and hashes follow. Chosen looking at labelled pages.
_MIN_NAME_CHARS: Final = 8
_MIN_COMMON_SHARE: Final = 0.6
# Pictures that stand for the site: its logo, or a picture for pages without one.
_NO_PICTURE: Final = re.compile(
    r"(?:\b|_)(?:logo|placeholder|default[-_]?(?:image|img|share|thumb|og)|no-?image|no-?photo|fallback|blank|spacer|favicon|sprite|pixel)(?:\b|_)",
    re.IGNORECASE,
)
# Some sites write the line with author and time as a caption.
_ENDS_WITH_TIME: Final = re.compile(r"\d{1,2}[:.h]\d{2}\D{0,6}\Z")
# A part of a path that identifies a picture is long, and is more than one word such as `original`.
_IDENTIFIES: Final = re.compile(r"(?=[^\d_-]*[\d_-]).{8}|.{16}")
# What content systems add to the name of a picture that they cut out of another: a word, and the time.
_ADDED_TO_NAME: Final = re.compile(r"[-_](?:crop|edited|edit|resized?|thumb|retina|\d{10,})(?![a-z0-9])")
_SIZE_IN_NAME: Final = re.compile(
    r"(?:[-_]|\A)(?:\d{2,4}x\d{0,4}|\d{2,4}w|scaled)(?=[._]|\Z)|=w\d{2,4}\Z", re.IGNORECASE
)


def find_image(document: Document) -> Found | None:
    """Return the URL of the article's main picture, None if the page declares none."""
    return next(_images(document), None)


def _images(document: Document) -> Iterator[Found]:
    meta = document.meta
    declared = chain.from_iterable(meta.get(name, ()) for name in ("og:image", "og:image:url", "og:image:secure_url"))
    others = chain.from_iterable(meta.get(name, ()) for name in ("twitter:image", "twitter:image:src", "thumbnailurl"))
    for values, origin in (
        (declared, "meta"),
        ((each.url for each in document.json_ld.images), "json-ld"),
        (others, "meta"),
    ):
        for written in islice(values, _MAX_PICTURES):
            if url := picture_url(written, document.url):
                yield Found(url, origin)


def find_caption(document: Document, marks: PageMarks, image: str) -> Found | None:
    """Return the caption of a picture: of the same picture on the page, in JSON-LD, or of the first one if hidden."""
    for caption in marks.captions:
        if any(is_same_picture(image, url) for url in caption.pictures):
            return Found(short_field(caption.text), "page")
    for picture in document.json_ld.images:
        if (text := short_field(picture.caption)) and is_same_picture(image, picture.url):
            return Found(text, "json-ld")
    first = next((caption for caption in marks.captions if not _ENDS_WITH_TIME.search(caption.text)), None)
    return Found(short_field(first.text), "page") if first and not first.pictures else None


def picture_url(written: str, page_url: str) -> str:
    """Return the absolute URL of a picture; empty if it is unusable, or the picture stands for the site."""
    try:
        url = resolve(written.strip(), base=page_url)
    except SourceError:
        return ""
    fits = url.startswith(("http://", "https://")) and len(url) <= _MAX_PICTURE_URL_CHARS
    return url if fits and not _NO_PICTURE.search(urlsplit(url).path.rpartition("/")[2]) else ""


def is_same_picture(one: str, other: str) -> bool:
    """Return whether two URLs are of one picture, possibly in two sizes: their file names begin alike."""
    first, second = (_ADDED_TO_NAME.sub("", _picture_name(url)) for url in (one, other))
    shorter = min(len(first), len(second))
    same = next((place for place in range(shorter) if first[place] != second[place]), shorter)
    return same >= max(_MIN_NAME_CHARS, _MIN_COMMON_SHARE * shorter) or (first == second and bool(first))


def _picture_name(url: str) -> str:
    """Return the end of a URL's path that names the picture: its last long part, and what follows."""
    nested = url.find("http", len("https://"))
    path = urlsplit(unquote(url[nested:]) if nested > 0 else url).path
    parts = [_SIZE_IN_NAME.sub("", part).partition(".")[0].lower() for part in path.strip("/").split("/")]
    long = (place for place, part in reversed(list(enumerate(parts))) if _IDENTIFIES.match(part))
    return "/".join(parts[next(long, 0) :])
