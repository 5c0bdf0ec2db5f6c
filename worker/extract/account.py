"""Keeps account of the running text that each step takes out of a page, and refuses a step that takes too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml.html import HtmlElement

from worker.extract.explain import Trace

_SMALL = 200
_PIECE = 40
# Never text, however much of it there is.
SILENT = ("script", "style", "template", "svg", "iframe", "link", "base", "input", "option")


class Account:
    """The running text of a page, in characters, and what the steps that remove text have taken of it."""

    def __init__(self, body: HtmlElement, trace: Trace) -> None:
        self._body = body
        self._trace = trace
        self._total: int | None = None

    @property
    def total(self) -> int:
        """How much running text the page had before the first step."""
        if self._total is None:
            self._total = running_text(self._body)
        return self._total

    def remove(self, boxes: Iterable[HtmlElement], *, why: str, share: float) -> list[HtmlElement]:
        """Take boxes out of the page, except for those that hold more than a share of its running text.

        Return the boxes that were kept. Their removal, and its refusal, is on the trace.
        """
        kept = []
        for box in boxes:
            held = _held(box)
            if held and held > share * self.total:
                self._trace.figure(f"kept although it {why}", f"{held} of {self.total} characters of running text")
                kept.append(box)
                continue
            self._trace.drop_box(box, why)
            take_out(box)
        return kept


def take_out(element: HtmlElement) -> None:
    """Remove an element with all that is in it; the text after it stays. Nothing happens to one that is out already."""
    if element.getparent() is not None:
        element.drop_tree()


def unwrap_as_division(element: HtmlElement) -> None:
    """Make an element one that says nothing of what it holds."""
    for name in list(element.attrib):
        del element.attrib[name]
    element.tag = "div"


def _held(box: HtmlElement) -> int:
    text = box.text_content()
    # Most boxes hold next to nothing: counting their running text exactly is not worth it.
    return running_text(box) if len(text) > _SMALL and len(" ".join(text.split())) > _SMALL else 0


def running_text(element: HtmlElement) -> int:
    """Return how many characters of running text an element holds: sentences, or pieces of some, outside of links.

    Menus and labels come in shorter pieces.
    """
    return sum(map(len, _sentences(element)))


def _sentences(element: HtmlElement) -> Iterator[str]:
    for part in element.iter("*"):
        if part.tag in SILENT:
            continue
        pieces = [] if part.tag == "a" else [part.text]
        if part is not element:
            pieces.append(part.tail)
        for piece in pieces:
            if piece and len(piece) >= _PIECE and len(flat := " ".join(piece.split())) >= _PIECE:
                yield flat
