"""Pages that contain nothing but a redirect."""

from __future__ import annotations

import httpx
import pytest

from worker.fetch.request import HttpResponse, refresh_redirect

URL = httpx.URL("https://bao.example/c/1")
NOTICE = "<p>Bạn đang được chuyển đến bài viết, xin chờ trong giây lát.</p>"
ARTICLE = "<p>" + "Tổ khảo sát đã đi bộ dọc con đê cũ dài bảy cây số để ghi lại từng chỗ sạt lở. " * 20 + "</p>"
REFRESH = '<meta http-equiv="refresh" content="3; url=/bai-viet.html">'


def led(body: str = "", *, charset: str = "utf-8", **headers: str) -> str | None:
    reply = HttpResponse(status=200, headers=httpx.Headers(headers), body=body.encode(charset))
    onward = refresh_redirect(URL, reply)
    return str(onward) if onward else None


@pytest.mark.parametrize(
    "body",
    [
        f"<head>{REFRESH}</head><body>{NOTICE}</body>",
        f"<head><META HTTP-EQUIV='Refresh' CONTENT='0;URL=/bai-viet.html'></head>{NOTICE}",
        "<head><meta content=\"0; url='/bai-viet.html'\" http-equiv=refresh></head>",
        f"<head><noscript>{REFRESH}</noscript><script>{'x' * 3000}</script></head>",
        f"<head><meta http-equiv=refresh content='300'>{REFRESH}</head><body>{NOTICE}</body>",
        f"<head><title>{'chữ ' * 300}</title>{REFRESH}</head><body>{NOTICE}</body>",
        f"{REFRESH}",
        "<head><meta http-equiv=refresh content='0; url=//bao.example/bai-viet.html'></head>",
    ],
)
def test_a_page_with_only_a_notice_is_a_redirect(body: str) -> None:
    assert led(body) == "https://bao.example/bai-viet.html"


@pytest.mark.parametrize("body", ["", "<html><body></body></html>", f"<body>{NOTICE}</body>"])
def test_the_refresh_header_works_like_the_meta_element(body: str) -> None:
    assert led(body, refresh="0; url=/bai-viet.html") == "https://bao.example/bai-viet.html"


@pytest.mark.parametrize(
    ("body", "refresh"),
    [
        (f"<head>{REFRESH}</head><body>{ARTICLE}</body>", ""),
        (f"<body>{ARTICLE}</body>", "0; url=/bai-viet.html"),
        (f"<head>{REFRESH}<script type='application/ld+json'>{{\"articleBody\": \"…\"}}</script></head>", ""),
        (f"<head><!-- {REFRESH} --></head><body>{NOTICE}</body>", ""),
        ("<head><meta http-equiv=refresh content='300; url=/'></head>" + NOTICE, ""),
        ("<head><meta http-equiv=refresh content='5'></head>" + NOTICE, ""),
        ("<head><meta http-equiv=refresh content='5; url=/c/1#top'></head>" + NOTICE, ""),
        (f"<head><meta name=refresh content='0; url=/b'></head>{NOTICE}", ""),
        (f"<p>The refresh element: &lt;meta http-equiv=refresh content='0; url=/b'></p>{NOTICE}", ""),
        (f"<head>{REFRESH}</head><body>{'<i></i>' * 20_000}</body>", ""),
        ("", ""),
        (NOTICE, ""),
    ],
)  # fmt: skip
def test_a_page_with_text_or_without_another_target_is_no_redirect(body: str, refresh: str) -> None:
    assert led(body, refresh=refresh) is None
