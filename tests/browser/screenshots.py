"""Pictures of the web pages for `docs/`, from what the demo made: `python -m tests.browser.screenshots`.

Each is a PNG of at most 256 colours. Chromium itself writes ten times as many bytes.
"""

from __future__ import annotations

import base64
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import READER_ZONE, SWITCHES, browser_program, served
from tests.newsroom import demo
from worker.config.load import load_settings
from worker.runs.pages import WebRun

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "config" / "demo.toml"
FOLDER: Final = ROOT / "docs" / "images"
WIDTH, HEIGHT, PHONE = 1100, 760, 390
PAGES: Final = {
    "overview": "/",
    "search": "/search?q=duong",
    "articles": "/articles",
    "clusters": "/clusters",
    "review": "/review",
    "sources": "/sources",
    "rejected": "/rejected",
    "article": "/search?q=rac+nhua+tren+bien",
}
"""The pictures, by name; of `article`, the page of the first result is shown."""
# Colours of a picture, from Chromium's own PNG: there is no decoder in the dependencies.
PIXELS: Final = """async (encoded) => {
  const picture = await createImageBitmap(await (await fetch("data:image/png;base64," + encoded)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height), brush = canvas.getContext("2d");
  brush.drawImage(picture, 0, 0);
  const bytes = brush.getImageData(0, 0, picture.width, picture.height).data;
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return [picture.width, picture.height, btoa(text)];
}"""


def main() -> int:
    """Make the store of the demo if there is none, and write all pictures; return the exit status."""
    os.chdir(ROOT)
    if not (ROOT / "data" / "demo" / "corpus.db").is_file() and (failed := demo.main()):
        return failed
    FOLDER.mkdir(parents=True, exist_ok=True)
    run = WebRun(load_settings(CONFIG, {}), listen="127.0.0.1:0")
    with served(run) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=SWITCHES)
        converter = browser.new_page()
        for name, path in PAGES.items():
            for variant, picture in pictures(browser, site, name, path).items():
                target = FOLDER / f"{variant}.png"
                target.write_bytes(few_colours(converter, picture))
                sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB\n")
        browser.close()
    return 0


def pictures(browser: Browser, site: str, name: str, path: str) -> dict[str, bytes]:
    """Return pictures of a page by name: on a desk in light, the overview in the dark and on a phone too."""
    made: dict[str, bytes] = {}
    for variant, width, scheme in (("", WIDTH, "light"), ("-dark", WIDTH, "dark"), ("-phone", PHONE, "light")):
        if variant and name != "overview":
            continue
        context = browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            color_scheme="dark" if scheme == "dark" else "light",
            timezone_id=READER_ZONE,
            locale="en-GB",
        )
        page = context.new_page()
        page.goto(f"{site}{path}")
        if name == "article":
            page.get_by_role("main").get_by_role("link").first.click()
            page.wait_for_url("**/articles/*")
        made[f"{name}{variant}"] = page.screenshot()
        context.close()
    return made


def few_colours(page: Page, picture: bytes) -> bytes:
    """Return a picture as a PNG with a palette: its most frequent colours, of five bits for each channel."""
    width, height, encoded = page.evaluate(PIXELS, base64.b64encode(picture).decode("ascii"))
    rgb = np.frombuffer(base64.b64decode(encoded), dtype=np.uint8).reshape(-1, 4)[:, :3].astype(np.int32)
    coarse = (rgb >> 3) @ np.array([1 << 10, 1 << 5, 1])
    _, place, counts = np.unique(coarse, return_inverse=True, return_counts=True)
    # Each kind is shown in its mean colour, so that large areas keep theirs.
    means = np.stack([np.bincount(place, weights=rgb[:, channel]) / counts for channel in range(3)], axis=1)
    palette = means[np.argsort(-counts)[:256]]
    nearest = ((means[:, None, :] - palette[None, :, :]) ** 2).sum(axis=2).argmin(axis=1)
    return png(nearest[place].astype(np.uint8).reshape(height, width), palette.round().astype(np.uint8))


def png(picture: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Return numbers of colours as a PNG (PNG specification, third edition, section 11)."""
    height, width = picture.shape
    rows = np.hstack([np.zeros((height, 1), dtype=np.uint8), picture]).tobytes()  # a row begins with its filter: none
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


if __name__ == "__main__":
    sys.exit(main())
