"""The path and the query of a key: the parts of a URL that identify an article.

`path_key` removes dot segments, session ids, AMP and print variants, directory indexes and trailing slashes.
`query_key` drops tracking, session and view parameters, and sorts the others. A site's own `UrlRules` go first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from worker.urls.syntax import encode_query

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
