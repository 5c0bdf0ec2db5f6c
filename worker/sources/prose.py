"""Tells running text from teasers, for a page that does not say what it is."""

from __future__ import annotations

from lxml import html

_LONG = 12  # words outside links, for a paragraph to be prose
_ENOUGH = 3  # such paragraphs side by side
_HEADLINE = 4  # words of a link that may be a headline
_LINKS_PER_PARAGRAPH = 12


def reads_like_an_article(tree: html.HtmlElement) -> bool:
    """Tell whether most of what stands outside links is a run of long paragraphs.

    A listing has teasers too, but each beside a link of its own, and many more links than teasers.
    """
    runs: dict[object, int] = {}
    for paragraph in tree.iter("p"):
        if _is_prose(paragraph) and (parent := paragraph.getparent()) is not None:
            runs[parent] = runs.get(parent, 0) + 1
    longest = max(runs.values(), default=0)
    links = sum(1 for link in tree.iter("a") if len(_words(link)) >= _HEADLINE)
    return longest >= _ENOUGH and links <= longest * _LINKS_PER_PARAGRAPH


def _is_prose(paragraph: html.HtmlElement) -> bool:
    linked = sum(len(_words(link)) for link in paragraph.iter("a"))
    return len(_words(paragraph)) - linked >= _LONG


def _words(element: html.HtmlElement) -> list[str]:
    return str(element.text_content()).split()
