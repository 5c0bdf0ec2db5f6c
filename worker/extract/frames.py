"""Takes out of a page what never holds article text: scripts, buttons, players, readers' comments known by name."""

from __future__ import annotations

from lxml.etree import strip_elements
from lxml.html import HtmlElement

from worker.extract.account import SILENT, Account, unwrap_as_division

# fmt: off
_FRAMES = (
    "noscript", "button", "select", "canvas", "object", "embed", "video", "audio", "picture", "map", "dialog",
    "textarea", "datalist", "menu",
)
# fmt: on
_LISTS = ("div", "section", "ul", "ol")
# An article never has a third of its text in buttons and players, but broken markup can put all of it inside of one:
# a `div` that nobody closed keeps the button around it open to the end of the page.
_SHARE = 0.3
_SHARE_OF_COMMENTS = 0.5


def strip_frames(tree: HtmlElement, account: Account) -> None:
    """Take out of a tree what holds no article text; a frame that holds much of the page becomes a plain box."""
    strip_elements(tree, *SILENT, with_tail=False)
    _part_labels(tree)
    frames = account.remove(list(tree.iter(*_FRAMES)), why="is a control or a player", share=_SHARE)
    comments = list(filter(_is_comments, tree.iter(*_LISTS)))
    for kept in (*frames, *account.remove(comments, why="is named as readers' comments", share=_SHARE_OF_COMMENTS)):
        unwrap_as_division(kept)


def _part_labels(tree: HtmlElement) -> None:
    """Set a blank after a label that a style sheet sets apart: `<span class="place">Hà Nội</span>Bộ trưởng…`."""
    for label in tree.iter("span"):
        tail = label.tail
        if tail and tail[0].isupper() and (text := label.text) and text[-1].islower() and label.get("class"):
            label.tail = f" {tail}"


def _is_comments(box: HtmlElement) -> bool:
    # In Python, and no loop: the same as an XPath takes three times as long.
    names = f"{box.get('id')} {box.get('class')}"
    return "comment" in names or "disqus" in names or "box-binhluan" in names
