"""The path and the query of a key: the parts of a URL that identify an article; and URLs that lead to another URL.

`path_key` removes dot segments, session ids, AMP and print variants, directory indexes and trailing slashes.
`query_key` drops tracking, session and view parameters, and sorts the others. A site's own `UrlRules` go first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote, urlsplit

from worker.models.base import dataclass
from worker.urls.syntax import encode_query, has_public_suffix, normalise_host

# Session ids that servers write into paths: `;jsessionid=…` (Java, PHP, ColdFusion), `/(S(…))/` (ASP.NET).
_SESSION = re.compile(r";(?:jsessionid|phpsessid|sessionid|sid|cfid|cftoken)[=:][^/;]*", re.IGNORECASE)
_ASP_SESSION = re.compile(r"/(?:\([A-Za-z]\([A-Za-z0-9]{16,}\)\)|\([a-z0-9]{24}\))(?=/)")
# Tracking parameters appended with `&` or `;` to a URL without a query.
_STRAY_QUERY = re.compile(r"[&;](?:utm_[a-z]+|fbclid|gclid)=[^/]*\Z", re.IGNORECASE)
_INDEX = re.compile(r"/(?:index|default)\.(?:html?|php|aspx?|jsp|shtml|cfm)\Z", re.IGNORECASE)
# Slashes, and percent-encoded blanks of every kind: a link's text often runs into its URL.
_TRAILING = ("/", "%20", "%C2%A0", "%E2%80%8B")
_DOUBLE_SLASH = re.compile(r"(?<!:)/{2,}")
# AMP and print variants: a folder in front, a page at the end, a suffix of the page.
_AMP_FRONT = re.compile(r"/amp(?=/.)", re.IGNORECASE)
_AMP_END = re.compile(r"(?<=.)/(?:amp|amp\.html?|index\.amp(?:\.html?)?)\Z", re.IGNORECASE)
_AMP_SUFFIX = re.compile(r"(?<=[^/])\.amp(?=\.(?:html?|shtml|php|epi)\Z|\Z)|(?<=\.html)\.amp\Z", re.IGNORECASE)
_AMP_NUMBERED = re.compile(r"(?<=\d{5})[-_.]amp(?=\.(?:html?|vnp|tpo|chn|vov)\Z|\Z)", re.IGNORECASE)
_PRINT_FRONT = re.compile(r"/(?:print|printer|printable|in-bai)(?=/.)", re.IGNORECASE)
_PRINT_END = re.compile(r"(?<=.)/(?:print|printer|printable)(?:\.html?)?\Z", re.IGNORECASE)
# Four digits in a row, or four words joined by hyphens.
_SPECIFIC = re.compile(r"\d{4}|[^/-]-[^/-]+-[^/-]+-")
_SCRIPT = re.compile(r"\.(?:php|aspx?|jsp|cfm|do|cgi)\Z", re.IGNORECASE)


def path_key(path: str) -> str:
    """Return the identifying part of an encoded path, without a trailing slash (empty for the root)."""
    path = remove_dots(path)
    while True:
        shorter = _strip_trailing(_strip_variants(path))
        if shorter == path:
            return path
        path = shorter


def _strip_trailing(path: str) -> str:
    end = len(path)
    while ending := next((each for each in _TRAILING if path.endswith(each, 0, end)), ""):
        end -= len(ending)
    return path[:end]


def _strip_variants(path: str) -> str:
    """Remove session ids, index pages, AMP and print variants; cheap checks first, since most paths have none."""
    path = _DOUBLE_SLASH.sub("/", path)
    if ";" in path or "&" in path:
        path = _STRAY_QUERY.sub("", _SESSION.sub("", path))
    if "(" in path:
        path = _ASP_SESSION.sub("", path)
    path = _INDEX.sub("/", path)
    lower = path.lower()
    if "amp" in lower:
        path = _without_amp(path)
    if "print" in lower or "in-bai" in lower:
        path = _without_print(path)
    return path


def _without_amp(path: str) -> str:
    for twin in (_AMP_FRONT, _AMP_END, _AMP_SUFFIX, _AMP_NUMBERED):
        path = twin.sub("", path, count=1) if twin is not _AMP_FRONT or twin.match(path) else path
    return path


def _without_print(path: str) -> str:
    shorter = _PRINT_END.sub("", path)
    front = _PRINT_FRONT.match(shorter)
    if front and is_specific(shorter):
        # A paper may have a section "print"; it is a print view only if the rest names one article.
        shorter = shorter[front.end() :]
    return shorter if is_specific(shorter) else path


def is_specific(path: str) -> bool:
    """Return whether a path alone names one article: its last segment has four digits in a row or four words.

    Not for a script (`chi-tiet-tin-tuc.aspx`): it takes the article from the query, whatever its name.
    """
    last = path.rstrip("/").rpartition("/")[2]
    return _SPECIFIC.search(last) is not None and not _SCRIPT.search(last)


def remove_dots(path: str) -> str:
    """Remove `.` and `..` segments (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


# Query parameters that do not identify an article: tracking, sessions, views of a page.

# Prefixes and names of the usual analytics and advertising systems, and of Vietnamese papers (`vn_`, `zalo_`).
_TRACKING_PREFIX = re.compile(
    r"utm_|utm-|itm_|mtm_|matomo_|piwik_|hsa_|_hs|__hs|mc_[ce]id|oly_(?:enc|anon)_id|vero_|stm_|zalo_|gads?_|gs_lc?p?\Z|trk_|"
    r"vn_(?:source|campaign|medium|term|content|thumb|aid|zone)|pk_(?:campaign|kwd|keyword|source|medium|content|cid)|"
    r"at_(?:medium|campaign|custom|link|ptr|bbc|format|recipient)|amp\Z|amp_(?:js_v|gsa|r|tf|lite|kit|latest|markup)|"
    r"wt[._](?:z?mc|nav|cg|tr)|fb_(?:action|source|ref)|action_(?:object|type|ref)_map|ga_(?:source|medium|campaign|term|content)|"
    r"ns_(?:source|campaign|mchannel|linkname|fee)"
)
_TRACKING = frozenset(
    """
    fbclid gclid gclsrc dclid gbraid wbraid msclkid yclid ymclid twclid ttclid li_fat_id igshid igsh mibextid
    _ga _gl _gac epik srsltid zarsrc gidzl coc_source cocclid __twitter_impression __xts__ __tn__ __cft__
    s_kwcid ef_id cmpid cmp_id ncid nr_email_referer intcid mkt_tok spm ito wkey guccounter guce_referrer
    guce_referrer_sig soc_src soc_trk ocid sref sr_share share_source ref_src ref_url referrer_access_token
    usqp aoh outputtype ampshare fb_comment_id replytocom share cachebuster nocache xtor xtref xtcr sc_cmp sc_campaign
    """.split()  # noqa: SIM905 - sixty short words read best as words
)
# Names that are sessions only with a value that looks random; elsewhere they select an article.
_SESSION_VALUES = {
    "sid": re.compile(r"(?=.{16})[A-Za-z_.!-]{0,100}\d[0-9A-Za-z_.!-]*"),
    "s": re.compile(r"[0-9a-fA-F]{32,}"),
}
_SESSION_NAME = re.compile(r"jsessionid|phpsessid|aspsessionid\w*|cfid|cftoken|oscsid|zenid|sess(?:ion_?)?id")
_AMBIGUOUS = frozenset(
    """
    ref ref_ refer referer referrer source src from via campaign medium rss feed fr icid smid smtyp scm csi nb _
    rss_id feed_id feedname partner_id rand_id m mobile device theme
    """.split()  # noqa: SIM905 - as above
)
"""Dropped only if the path alone names an article: elsewhere they may select one."""
# Parameters that select a view of the article, with the values that do.
_VIEW_VALUES = {
    "view": frozenset({"print", "printable", "mobile", "amp", "full"}),
    "mode": frozenset({"print", "amp", "mobile"}),
    "print": frozenset({"", "1", "true", "yes", "y", "on", "pdf", "print"}),
    "printable": frozenset({"", "1", "true", "yes"}),
    "printerfriendly": frozenset({"", "1", "true", "yes"}),
    "format": frozenset({"amp", "print"}),
    "type": frozenset({"amp", "print"}),
    "layout": frozenset({"print", "amp"}),
    "tmpl": frozenset({"component"}),
    "output": frozenset({"amp", "print"}),
    "isamp": frozenset({"", "1", "true"}),
    "noamp": frozenset({"", "1", "true", "mobile", "available"}),
    "mobile": frozenset({"", "1", "true", "yes", "0", "no"}),
    "action": frozenset({"print"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlRules:
    """A site's own rules: query parameters (in lower case) to keep or to drop against the common rules.

    With `fold_case`, paths are compared in lower case.
    """

    keep: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    fold_case: bool = False


def query_key(query: str, *, specific: bool, rules: UrlRules) -> str:
    """Return the identifying parameters, sorted by name; `specific` means that the path alone names an article."""
    if not query:
        return ""
    kept = dict.fromkeys(
        (name, value) for name, value in _parameters(query) if not _dropped(name, value, specific=specific, rules=rules)
    )
    ordered = sorted(kept, key=lambda pair: pair[0])
    return "&".join(name if value is None else f"{name}={value}" for name, value in ordered)


def _parameters(query: str) -> Iterator[tuple[str, str | None]]:
    # Share buttons often add a second query to a URL that has one: "?id=5?utm_source=x".
    for piece in query.replace("?utm_", "&utm_").split("&"):
        name, equals, value = piece.removeprefix("amp;").partition("=")
        if name or value:
            yield encode_query(name), encode_query(value, value=True) if equals else None


def _dropped(name: str, value: str | None, *, specific: bool, rules: UrlRules) -> bool:
    """Return whether a parameter is no part of the key: the site's rules first, then the common ones."""
    key, content = name.lower(), value or ""
    if key in rules.keep:
        return False
    if key in rules.drop or key in _TRACKING or _TRACKING_PREFIX.match(key):
        return True
    if _SESSION_NAME.fullmatch(key) or (key in _SESSION_VALUES and _SESSION_VALUES[key].fullmatch(content)):
        return True
    if content.lower() in _VIEW_VALUES.get(key, ()):
        return True
    return specific and key in _AMBIGUOUS


# URLs that lead to another one: AMP caches, click counters, and the target of an HTML refresh.
#
# `wrapped_url` reads the address inside a wrapper: an AMP cache or a click counter of a search engine or social site.
# The address inside is only claimed by the wrapper: good enough for a key, but no proof of which page will be served.
# `refresh_target` parses a `Refresh` header or `<meta http-equiv="refresh">`.


# AMP caches: `/c/s/bao.vn/tin-1.html`, where `s` means https.
_CACHE_HOST = re.compile(r"(?:[\w-]+\.)?(?:cdn\.ampproject\.org|bing-amp\.com)\Z")
_CACHE_PATH = re.compile(r"/[a-z]/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_GOOGLE = frozenset(
    f"google.{ending}"
    for ending in """
    com ad ae al am as at az ba be bf bg bi bj bs bt by ca cat cd cf cg ch ci cl cm cn cv cz de dj dk dm dz ee es fi
    fm fr ga ge gg gl gm gr gy hn hr ht hu ie im iq is it je jo kg ki kz la li lk lt lu lv md me mg mk ml mn mu mv
    mw ne nl no nr nu pl pn ps pt ro rs ru rw sc se sh si sk sm sn so sr st td tg tl tm tn to tt vu ws co.ao co.bw
    co.ck co.cr co.id co.il co.in co.jp co.ke co.kr co.ls co.ma co.mz co.nz co.th co.tz co.ug co.uk co.uz co.ve
    co.vi co.za co.zm co.zw com.af com.ag com.ar com.au com.bd com.bh com.bn com.bo com.br com.bz com.co com.cu
    com.cy com.do com.ec com.eg com.et com.fj com.gh com.gi com.gt com.hk com.jm com.kh com.kw com.lb com.ly com.mm
    com.mt com.mx com.my com.na com.ng com.ni com.np com.om com.pa com.pe com.pg com.ph com.pk com.pr com.py com.qa
    com.sa com.sb com.sg com.sl com.sv com.tj com.tr com.tw com.ua com.uy com.vc com.vn
    """.split()  # noqa: SIM905 - two hundred short words read best as words
)
"""The domains of Google Search: a list, because anybody can register a name that looks like one of them."""
_GOOGLE_AMP = re.compile(r"/amp/(?P<tls>s/)?(?P<rest>[^/]+\.[^/]+(?:/.*)?)\Z")
_WHOLE_IN_PATH = re.compile(r"/(?P<scheme>https?):/{1,2}(?P<rest>[^/]+\.[^/]+.*)\Z")
# Hosts of click counters, and the parameter with the address inside.
_CLICK_COUNTERS = {"l.facebook.com": "u", "lm.facebook.com": "u", "l.instagram.com": "u", "l.messenger.com": "u"}


def wrapped_url(parts: SplitResult) -> str | None:
    """Return the address inside a wrapper, None if the URL is no wrapper or the host inside cannot exist."""
    inner = _wrapped(parts)
    return inner if inner and _has_public_host(inner) else None


@lru_cache(maxsize=4096)
def _wrapper_host(netloc: str) -> str:
    """Return the host if it is that of a wrapper, else an empty text."""
    host = (SplitResult("", netloc, "", "", "").hostname or "").lower()
    known = _CACHE_HOST.match(host) or host.removeprefix("www.") in _GOOGLE or host in _CLICK_COUNTERS
    return host if known else ""


def embedded_url(parts: SplitResult) -> str | None:
    """Return the address that a URL of any host contains in the places where wrappers have theirs; None if none."""
    path = _CACHE_PATH.match(parts.path) or _GOOGLE_AMP.match(parts.path)
    found = _url_from_match(path, "") or _url_in_path(parts.path) or _url_in_query(parts)
    return found if found and _has_public_host(found) else None


def _url_in_path(path: str) -> str | None:
    found = _WHOLE_IN_PATH.search(path)
    return f"{found['scheme']}://{found['rest']}" if found else None


def _url_in_query(parts: SplitResult) -> str | None:
    """Return an address in the query, unless the path names an article: then it is only a referrer."""
    if "http" not in parts.query or is_specific(parts.path):
        return None
    return next((value for _, value in parse_qsl(parts.query) if value.startswith(("http://", "https://"))), None)


def _has_public_host(url: str) -> bool:
    try:
        return has_public_suffix(normalise_host(urlsplit(url).hostname or ""))
    except ValueError:
        return False


def _wrapped(parts: SplitResult) -> str | None:
    """Return the text inside a known wrapper; it may be no usable URL."""
    host = _wrapper_host(parts.netloc)
    if not host:
        return None
    if _CACHE_HOST.match(host):
        return _url_from_match(_CACHE_PATH.match(parts.path), parts.query)
    if host.removeprefix("www.") in _GOOGLE:
        if parts.path == "/url":
            return _parameter(parts.query, "url") or _parameter(parts.query, "q")
        return _url_from_match(_GOOGLE_AMP.match(parts.path), parts.query)
    return _parameter(parts.query, _CLICK_COUNTERS[host]) if host in _CLICK_COUNTERS else None


def _url_from_match(match: re.Match[str] | None, query: str) -> str | None:
    """Return the URL inside the path of an AMP cache; the query of the cache's URL is that of the URL inside."""
    if match is None:
        return None
    scheme = "https" if match["tls"] else "http"
    return f"{scheme}://{match['rest']}" + (f"?{query}" if query else "")


def _parameter(query: str, name: str) -> str | None:
    """Return a query parameter if it is an absolute http(s) URL."""
    found = parse_qs(query).get(name, [""])[0]
    return found if found.startswith(("http://", "https://")) else None


MAX_REFRESH_DELAY_S: Final = 30
"""A page that redirects after more seconds than this is meant to be read (chosen, not measured)."""
_MAX_REFRESH_LENGTH: Final = 2_100
"""Characters of a refresh that are parsed: a delay and a URL of the length that browsers take."""
_REFRESH = re.compile(
    r"\s*(\d{1,9}|(?=\.))(?:\.[\d.]*)?\s*(?:[;,]\s*|\s)(?:url\s*=\s*)?(.*)", re.IGNORECASE | re.DOTALL
)


def refresh_target(content: str) -> str | None:
    """Return the URL of a refresh, as written; None if it has none (it reloads its page) or redirects too late."""
    match = _REFRESH.fullmatch(content[:_MAX_REFRESH_LENGTH].strip())
    if match is None or int(match[1] or 0) > MAX_REFRESH_DELAY_S:
        return None
    target = match[2].strip()
    if target[:1] in {'"', "'"}:
        # Text after the closing quotation mark is no part of the URL.
        target = target[1:].partition(target[0])[0]
    return target.strip() or None


# The shape of an address, by which extraction distinguishes articles from lists.

_NUMBER = re.compile(r"\d+")
_NUMBER_IN_QUERY = re.compile(r"(?:^|[=&])(\d+)(?=$|&)")
# A year and a month in the path, with something under them: `/2011/09/11/gefallt-mir/`, not `/2011/09/`.
_DATED = re.compile(r"/(?:19|20)\d{2}[/-]?(?:0[1-9]|1[0-2]|[1-9](?=[/-]))(?:[/-]?\d{1,2})?[/-][^/]*[^/\d]")
_ENDING = re.compile(r"\.[a-zA-Z]{2,5}\Z")
# Folders whose pages are lists of articles, and the further pages of a list.
_LIST_FOLDER = re.compile(
    r"/(?:categor(?:y|ies|ia|ie)|kategori[ae]?|tags?|etiquetas?|topi[ck]s?|themen?|temas?|sections?|rubri(?:k|que)|authors?"
    r"|hub|chu-de|chuyen-muc|chuyen-de|the-loai|tu-khoa|su-kien)/[^/]|/page/\d+/?(?=\?)|"
    # The same in the query; `p` names an article of WordPress.
    r"\?(?:[^#]*&)?(?:page|paged|pg|pagen_\d+|start|offset|cat|category|seite|pagina|trang)=[^&]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressShape:
    """The letters of an address's slug, the digits of its longest number, and whether it has a day or a list's folder.

    A slug is measured in letters, not in words: `thi-truong-chung-khoan` has four words and is a section.
    """

    slug_letters: int
    digits: int
    is_dated: bool = False
    is_in_list: bool = False

    @property
    def says_much(self) -> bool:
        """Whether the address alone tells an article from a list: `/page.html` and `/p/7` do not."""
        is_long = self.slug_letters >= _UNKNOWN_ADDRESS.slug_letters or self.digits > _UNKNOWN_ADDRESS.digits
        return is_long or self.is_dated or self.is_in_list


# A page without an address, or with one that says nothing: as typical articles have.
_UNKNOWN_ADDRESS = AddressShape(slug_letters=25, digits=1)


def address_shape(url: str) -> AddressShape:
    """Return the shape of an address, that of a typical article's for an unknown one (an empty string)."""
    if not url:
        return _UNKNOWN_ADDRESS
    parts = urlsplit(url)
    segments = [_ENDING.sub("", segment) for segment in unquote(parts.path).rstrip("/").split("/")[-2:]]
    numbers = [number for segment in segments for number in _NUMBER.findall(segment)]
    return AddressShape(
        slug_letters=max(sum(map(str.isalpha, segment)) for segment in segments),
        digits=max(map(len, (*numbers, *_NUMBER_IN_QUERY.findall(parts.query))), default=0),
        is_dated=_DATED.search(parts.path) is not None,
        is_in_list=_LIST_FOLDER.search(f"{parts.path}?{parts.query}") is not None,
    )
