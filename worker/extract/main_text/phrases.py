"""Phrases that mark non-article text on news pages: block headings, prompts, cross links, picture credits; headlines.

The phrases are Vietnamese and English; headings and cross links also those of other widely read languages. Otherwise
such text is recognised by structure, and by counting what a host repeats (`boilerplate.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from worker.charset.characters import count_spaceless, count_words, fold, one_line, text_length
from worker.dates.day_forms import find_day

# fmt: off
_BLOCK_HEADINGS = (
    "Tin liên quan", "Tin bài liên quan", "Bài liên quan", "Bài viết liên quan", "Tin tức liên quan",
    "Các tin liên quan", "Các bài liên quan", "Nội dung liên quan", "Các tin bài khác", "Các tin khác", "Tin khác",
    "Tin bài khác", "Bài khác", "Tin cũ hơn", "Tin mới hơn", "Đọc thêm", "Đọc nhiều", "Đọc nhiều nhất",
    "Tin đọc nhiều", "Bài đọc nhiều", "Xem thêm", "Xem nhanh", "Xem nhiều", "Xem nhiều nhất", "Tin xem nhiều",
    "Tin cùng chuyên mục", "Cùng chuyên mục", "Bài cùng chuyên mục", "Tin mới", "Tin mới nhất", "Mới nhất", "Bài mới",
    "Tin nổi bật", "Nổi bật", "Tin nóng", "Tin hot", "Đừng bỏ lỡ", "Có thể bạn quan tâm", "Có thể bạn muốn xem",
    "Có thể bạn chưa đọc", "Bạn có thể quan tâm", "Bạn đọc quan tâm", "Bình luận", "Bình luận của bạn", "Ý kiến",
    "Ý kiến bạn đọc", "Ý kiến độc giả", "Ý kiến của bạn", "Gửi bình luận", "Viết bình luận", "Gửi ý kiến", "Chia sẻ",
    "Chia sẻ bài viết", "Chia sẻ bài viết này", "Từ khóa", "Từ khoá", "Tags", "Tag", "Chủ đề", "Chuyên đề",
    "Tin tài trợ", "Thông tin doanh nghiệp", "Thông tin cần biết", "Quảng cáo", "Multimedia", "Video", "Videos",
    "Ảnh", "Photo", "Infographic", "Infographics", "Podcast", "E-magazine", "Emagazine", "Longform", "Megastory",
    "Dòng sự kiện", "Sự kiện", "Tiêu điểm", "Được quan tâm", "Gợi ý cho bạn", "Hỏi đáp thông minh",
    "Cảm nhận của bạn về bài viết này", "Tin tiếp theo", "Bài tiếp theo", "Tin trước", "Phản hồi", "Trở lại",
    "Theo dõi chúng tôi", "Tin tức trong ngày", "Chuyên mục khác", "Related", "Related articles", "Related news",
    "Related stories", "Related content", "Related topics", "Read more", "Read also", "Read next", "Most read",
    "Most popular", "More on this story", "More from this section", "You may also like", "You might also like",
    "Recommended", "Recommended for you", "Comments", "Leave a comment", "Share", "Share this", "Share this article",
    "Latest news", "Trending", "Trending now", "Advertisement", "Sponsored", "Newsletter", "Don't miss", "Up next",
    "More about", "More on this topic", "Related posts", "See also",
    # German, Dutch, Scandinavian
    "Mehr zum Thema", "Lesen Sie auch", "Lesen Sie mehr", "Das könnte Sie auch interessieren", "Auch interessant",
    "Meistgelesen", "Weitere Artikel", "Weitere Themen", "Ähnliche Artikel", "Anzeige", "Werbung", "Kommentare",
    "Lees ook", "Lees meer", "Meest gelezen", "Gerelateerd", "Les også", "Läs mer", "Läs också", "Läs även",
    "Læs også",
    # French, Spanish, Portuguese, Italian
    "À lire aussi", "Lire aussi", "À lire également", "Sur le même sujet", "Les plus lus", "Articles liés",
    "Publicité", "Commentaires", "Noticias relacionadas", "Artículos relacionados", "Te puede interesar",
    "Lea también", "Lee también", "También te puede interesar", "Lo más leído", "Más información", "Más noticias",
    "Publicidad", "Comentarios", "Notícias relacionadas", "Leia também", "Leia mais", "Veja também", "Mais lidas",
    "Publicidade", "Comentários", "Leggi anche", "Articoli correlati", "Potrebbe interessarti", "I più letti",
    "Commenti",
    # Polish, Czech, Russian, Ukrainian, Turkish, Indonesian
    "Czytaj więcej", "Czytaj także", "Czytaj też", "Zobacz także", "Zobacz też", "Przeczytaj także", "Reklama",
    "Čtěte také", "Mohlo by vás zajímat", "Читайте также", "Похожие новости", "Новости по теме", "По теме",
    "Реклама", "Читайте також", "Новини за темою", "İlgili haberler", "Çok okunanlar", "Baca juga",
    "Berita terkait", "Artikel terkait", "Terpopuler",
    # Chinese
    "相关新闻", "相关报道", "相关阅读", "相关链接", "相关文章", "相关推荐", "相关专题", "相关内容", "相关话题",
    "相关稿件", "相关资讯", "推荐阅读", "延伸阅读", "扩展阅读", "更多阅读", "阅读更多", "热门推荐", "精彩推荐",
    "编辑推荐", "为你推荐", "为您推荐", "猜你喜欢", "你可能感兴趣", "您可能感兴趣", "大家都在看", "更多新闻",
    "更多报道", "热门新闻", "热门文章", "热点新闻", "最新新闻", "最新文章", "新闻排行", "点击排行", "阅读排行",
    "网友评论", "广告", "赞助内容", "分享到", "上一篇", "下一篇", "相關新聞", "相關報導", "相關文章", "相關閱讀",
    "相關連結", "相關推薦", "延伸閱讀", "推薦閱讀", "推薦文章", "編輯推薦", "熱門新聞", "熱門文章", "最新新聞",
    "更多新聞", "猜你喜歡", "你可能也喜歡", "廣告",
    # Japanese
    "関連記事", "関連ニュース", "関連リンク", "関連コンテンツ", "関連トピックス", "関連キーワード", "おすすめ記事",
    "おすすめの記事", "あわせて読みたい", "こちらもおすすめ", "こんな記事も読まれています", "人気記事",
    "人気ランキング", "アクセスランキング", "注目記事", "最新記事", "新着記事", "最新ニュース", "もっと読む",
    "もっと見る", "広告", "スポンサーリンク",
    # Korean, Thai
    "관련기사", "관련 기사", "관련뉴스", "관련 뉴스", "관련 글", "관련 콘텐츠", "추천기사", "추천 기사", "추천 뉴스",
    "함께 보면 좋은 기사", "많이 본 뉴스", "많이 본 기사", "가장 많이 본 뉴스", "인기기사", "인기 기사", "인기뉴스",
    "인기 뉴스", "최신기사", "최신 기사", "최신뉴스", "최신 뉴스", "주요뉴스", "주요 뉴스", "더보기", "광고",
    "공유하기", "ข่าวที่เกี่ยวข้อง", "เรื่องที่เกี่ยวข้อง", "บทความที่เกี่ยวข้อง", "เนื้อหาที่เกี่ยวข้อง",
    "อ่านเพิ่มเติม", "อ่านต่อ", "ข่าวล่าสุด", "ข่าวแนะนำ", "บทความแนะนำ", "ข่าวยอดนิยม", "ข่าวอื่นๆ", "โฆษณา",
    # Arabic, Persian, Hindi, Bengali
    "أخبار ذات صلة", "أخبار متعلقة", "مواضيع ذات صلة", "مواضيع متعلقة", "مقالات ذات صلة", "مقالات متعلقة",
    "اقرأ أيضا", "اقرأ أيضاً", "اقرأ أيضًا", "اقرأ المزيد", "شاهد أيضا", "قد يعجبك أيضا", "قد يهمك", "الأكثر قراءة",
    "الأكثر مشاهدة", "آخر الأخبار", "المزيد من الأخبار", "إعلان", "مطالب مرتبط", "اخبار مرتبط", "بیشتر بخوانید",
    "پربازدیدترین", "آخرین اخبار", "تبلیغات", "آگهی", "संबंधित खबरें", "संबंधित समाचार", "यह भी पढ़ें", "ये भी पढ़ें",
    "इसे भी पढ़ें", "और पढ़ें", "ताजा खबरें", "ताज़ा खबरें", "अन्य खबरें", "विज्ञापन", "আরও পড়ুন", "আরো পড়ুন",
    "আরও খবর", "সম্পর্কিত খবর", "সর্বাধিক পঠিত", "বিজ্ঞাপন",
)
# fmt: on
_FOLDED_BLOCK_HEADINGS = frozenset(map(fold, _BLOCK_HEADINGS))
# fmt: off
_COMMENT_HEADINGS = frozenset(map(fold, (
    "Bình luận", "Bình luận của bạn", "Bình luận của bạn đọc", "Bình luận bạn đọc", "Gửi bình luận", "Viết bình luận",
    "Các bình luận", "Tất cả bình luận", "Ý kiến bạn đọc", "Ý kiến của bạn", "Ý kiến của bạn đọc", "Ý kiến độc giả",
    "Ý kiến người đọc", "Gửi ý kiến", "Phản hồi của bạn đọc", "Comments", "Reader comments", "Readers' comments",
    "Leave a comment", "Leave a reply", "Join the conversation",
    # German, Dutch, Scandinavian, Finnish
    "Kommentare", "Leserkommentare", "Kommentar schreiben", "Kommentar verfassen", "Diskutieren Sie mit", "Reacties",
    "Kommentarer", "Skriv en kommentar", "Kommentit",
    # French, Spanish, Portuguese, Italian, Romanian
    "Commentaires", "Vos commentaires", "Vos réactions", "Laisser un commentaire", "Comentarios", "Deja un comentario",
    "Comentários", "Deixe um comentário", "Deixe seu comentário", "Commenti", "Lascia un commento", "Comentarii",
    # Polish, Czech, Hungarian, Russian, Ukrainian, Bulgarian, Greek, Turkish, Indonesian
    "Komentarze", "Wybrane komentarze", "Komentarzy", "Dodaj komentarz", "Komentáře", "Diskuze", "Diskuse",
    "Hozzászólások", "Комментарии", "Комментариев", "Комментарии читателей", "Добавить комментарий",
    "Оставить комментарий", "Коментарі", "Додати коментар", "Коментари", "Σχόλια", "Yorumlar", "Yorum yaz", "Komentar",
    # Chinese, Japanese, Korean, Thai, Arabic, Hindi, Bengali
    "网友评论", "发表评论", "最新评论", "热门评论", "我要评论", "網友評論", "發表評論", "新聞討論", "コメント", "댓글",
    "ความคิดเห็น", "แสดงความคิดเห็น", "التعليقات", "تعليقات", "أضف تعليقا", "टिप्पणियां", "टिप्पणियाँ", "মন্তব্য", "মন্তব্যসমূহ",
)))
# Each heading contains one of these.
_COMMENT_HINTS = (
    "comment", "bình luận", "ý kiến", "phản hồi", "reply", "conversation", "komment", "koment", "коммент", "комент",
    "coment", "diskut", "diskuz", "diskus", "reactie", "réaction", "hozzászól", "σχόλι", "yorum", "评论", "評論",
    "討論", "コメント", "댓글", "ความคิดเห็น", "تعليق", "टिप्पण", "মন্তব্য",
)
# fmt: on
_SURROUNDING_COUNT = re.compile(r"^[\d.,]{1,12}\s{1,5}(?=\D)|\s{0,5}[(:\[]?\s{0,5}[\d.,]{1,12}\s{0,5}[)\]]?$")
_TRAILING_COUNT = re.compile(r"\s{0,5}\([\d.,]{0,12}\).*$")
# A link to another article on a line of its own. An arrow alone counts only as `>>`: other signs begin list items and
# quotations.
_CROSS_LINK = re.compile(
    r"(?:>>+|»|►|▶|→|☛|👉|\*\s)?\s*(?:xem thêm|đọc thêm|xem ngay|đọc ngay|tin liên quan|"
    r"bài liên quan|mời xem|mời đọc|see also|read also|read more|also read|related|more|lesen sie (?:auch|mehr)|"
    r"mehr zum thema|lees ook|les også|läs (?:också|mer|även)|læs også|(?:à )?lire aussi|à lire également|"
    r"le[ae] también|leia (?:também|mais)|veja também|leggi anche|czytaj (?:więcej|także|też)|zobacz (?:także|też)|"
    r"čtěte také|читайте (?:также|також)|baca juga|相关(?:新闻|报道|阅读|链接|文章|专题)|相關(?:新聞|報導|閱讀|文章)|"
    r"(?:延伸|推荐|扩展|推薦)(?:阅读|閱讀)|関連(?:記事|ニュース)|관련\s?(?:기사|뉴스)|"
    r"यह भी पढ़ें|ये भी पढ़ें|আর[ওো] পড়ুন|اقرأ أيض\S{1,2}|"
    r"(?:เรื่อง|ข่าว)ที่เกี่ยวข้อง|อ่านเพิ่มเติม)\s*[:：>»]\s*\S",
    re.IGNORECASE,
)
_ARROW = re.compile(r">>+\s*\S(?!.{40,}\w[.!][\"”’»)]?$)")
_PROMPT = re.compile(
    r"(?:theo dõi .{2,60} trên(?: (?:facebook|fanpage|zalo|youtube|google|tiktok|telegram).{0,40})?|"
    r"mời (?:quý )?(?:bạn đọc|độc giả|vị).{0,80}|.{0,80}gõ tiếng việt có dấu.{0,40}|"
    r"đăng nhập|đăng ký|logo|trang chủ|phiên bản di động|về trang chủ|lên đầu trang|in bài viết|nghe đọc bài|"
    r"bình luận \(\d+\).{0,60}|ý kiến của bạn sẽ được .{0,160}|©.{0,200}|ghi rõ nguồn .{0,120}|"
    r"sign up .{0,80}newsletters?"
    r"(?:\s?[^\w\s].{0,80}|\s(?:to|and|for|here|today|now|by|below|with|about|from)\b.{0,80})?|"
    r"subscribe now.{0,80}|all rights reserved.{0,60})",
    re.IGNORECASE,
)
# Sentences can begin with the same words, so such a line is a prompt only if it is short or has no full stop.
_PROMPT_UNLESS_SENTENCE = re.compile(
    r"(?:đăng (?:nhập|ký) (?:ngay|kênh|tài khoản|theo dõi|nhận|để|hoặc|/).{0,40}|"
    r"(?:trở lại|quay lại|quay về|trở về) (?:chủ đề|chuyên mục|trang chủ|trang trước|danh sách|đầu trang)\b.{0,40}|"
    r"(?:back|return) to (?:top|home|index|list|overview|main page|all \w+|section)\b.{0,40}|"
    r"bản quyền (?:thuộc|©|\d{4}|bài viết|nội dung|website).{0,120}|subscribe to .{0,80}|click here.{0,60}|"
    r"follow us.{0,60}|share (?:on|this|via).{0,40})",
    re.IGNORECASE,
)
# fmt: off
_BUTTON_WORDS = frozenset((
    "facebook", "twitter", "x", "zalo", "email", "e", "mail", "print", "google", "news", "copy", "link", "sao", "chép",
    "liên", "kết", "chia", "sẻ", "share", "tweet", "pinterest", "linkedin", "whatsapp", "telegram", "messenger",
    "instagram", "youtube", "tiktok", "threads", "reddit", "on", "via", "to", "qua", "lên", "this", "article", "bài",
    "viết", "in", "rss", "like", "thích", "lưu", "gửi",
))
# fmt: on
# A line of fewer words is no sentence, even with a full stop. Chosen, not measured.
_MIN_SENTENCE_WORDS = 5
_SHORTCODE = re.compile(r"\[([a-z][a-z0-9_-]{1,30}) [a-z_-]{1,30}=[^\[\]]{1,500}\](?:[^\[\]]{0,200}\[/\1\])?")
_CREDIT = re.compile(
    r"(?:ảnh|ảnh minh họa|ảnh minh hoạ|ảnh tư liệu|nguồn ảnh|đồ họa|photo|image|foto|getty images)(?: \d)?\s*[:(]|"
    r"\(ảnh\b|\(nguồn(?: ảnh)?\s*:|\bảnh: ?\S|[-–] ảnh\b|\. ảnh\s*[:.]|^ảnh \d",
    re.IGNORECASE,
)
# Every match of the pattern contains one of these, and few other lines do: a cheap test before the slow pattern.
_CREDIT_HINTS = ("ảnh", "photo", "image", "foto", "nguồn", "đồ họa")


# The age of an article ("3 hours ago") after its headline in a list. An article's own age comes once, at the top.
_AGO = re.compile(
    r"(?:\b\d{1,2}\s?(?:giờ|phút|ngày|tuần|tiếng) trước|\b\d{1,2}\s?(?:h|hrs?|hours?|min(?:ute)?s?|days?|weeks?) ago|"
    r"\bvor \d{1,2} (?:stunden?|minuten?|tage?n?)|\bil y a \d{1,2} (?:h|heures?|min|minutes?|jours?)|"
    r"\bhace \d{1,2} (?:horas?|minutos?|días?)|\d{1,2}\s?(?:小时|分钟|天|時間|分|日)前)\W*$",
    re.IGNORECASE,
)

# `2026-11-30 08:05`, `30.11.`, `(2026年11月30日 08时05分)`, `12/3/26 8:05 PM`.
_DATE = re.compile(
    r"(?=.*\d(?:[-/:年월]|\.\d\d?\.))(?:[\W\d_年月日時时分秒년월일시분]|(?<=[\d ])[ap]m\b)*", re.IGNORECASE
)
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_DIGIT = re.compile(r"\d")
# A line with the day of publication: up to three words before it, a time and a zone after it. Chosen.
_MAX_DATE_LINE_CHARS = 80
_LABEL = re.compile(r"[\W_]*(?:[^\W\d_]+[\W_]*){0,3}")
_MARKS = re.compile(r"[\W_]*")
_CLOCK = re.compile(r"(?![\W_]*[-–—:,]$)(?:[\W\d_]|(?<![^\W\d_])[^\W\d_]{1,4}(?![^\W\d_]))*")


def strip_age(line: str) -> str | None:
    """Return a line without the age ("3 hours ago") at its end; None if it has none."""
    found = _AGO.search(line[-60:])
    return None if found is None else line[: len(line) - len(line[-60:]) + found.start()].strip(" \t|·•-–—,")


def count_dated_chars(piece: str) -> int:
    """Return the length of a piece of text that is a date in figures, an age ("3 hours ago") or a mark; else 0."""
    # Every date and every age has a number.
    if _DIGIT.search(piece) is None:
        return text_length(piece) if _LETTER_OR_DIGIT.search(piece) is None else 0
    flat = one_line(piece)
    return text_length(flat) if _DATE.fullmatch(flat) is not None or strip_age(flat) == "" else 0


def is_date_line(line: str, *, has_label: bool = True) -> bool:
    """Return whether a line is only a day, with a time after it, and perhaps a label or weekday before it."""
    if len(line) > _MAX_DATE_LINE_CHARS or _DIGIT.search(line) is None or (day := find_day(line)) is None:
        return False
    before, after = line[: day.start], line[day.end :]
    return (_LABEL if has_label else _MARKS).fullmatch(before) is not None and _CLOCK.fullmatch(after) is not None


def is_block_heading(line: str) -> bool:
    """Return whether a line is the heading of a block of links, comments or advertising."""
    return len(line) < 80 and fold(_TRAILING_COUNT.sub("", line)) in _FOLDED_BLOCK_HEADINGS


def comment_hints(text: str) -> Sequence[str]:
    """Return which parts of headings of readers' comments a text contains; a cheap test before `is_comment_heading`."""
    lower = text.lower()
    return [hint for hint in _COMMENT_HINTS if hint in lower]


def is_comment_heading(line: str) -> bool:
    """Return whether a line is the heading of the readers' comments, after which no article continues."""
    if len(line) >= 80 or not comment_hints(line):
        return False
    return any(
        fold(form) in _COMMENT_HEADINGS for form in (_TRAILING_COUNT.sub("", line), _SURROUNDING_COUNT.sub("", line))
    )


def is_cross_link(line: str) -> bool:
    """Return whether a line is a link to another article (`Xem thêm: …`, `>> …`)."""
    return _CROSS_LINK.match(line) is not None or _ARROW.match(line) is not None


def is_prompt(line: str, folded: str | None = None) -> bool:
    """Return whether a line asks the reader to do something: share, subscribe, comment, log in.

    `folded` saves folding the line again.
    """
    if len(line) >= 220:
        return False
    if _PROMPT.fullmatch(line) is not None:
        return True
    words = (fold(line) if folded is None else folded).split()
    if _BUTTON_WORDS.issuperset(words):
        return bool(words)
    ends = line.endswith((".", "!", "?", "…")) and len(words) >= _MIN_SENTENCE_WORDS
    return not ends and _PROMPT_UNLESS_SENTENCE.fullmatch(line) is not None


def is_shortcode(line: str) -> bool:
    """Return whether a line is a shortcode that the site failed to expand (`[button link="…"]Gửi[/button]`)."""
    return line.startswith("[") and _SHORTCODE.fullmatch(line) is not None


def is_credit(line: str) -> bool:
    """Return whether a line is a caption with a picture credit."""
    end = line[-120:]
    lower = end.lower()
    return any(word in lower for word in _CREDIT_HINTS) and _CREDIT.search(end) is not None


# Headlines: an article repeats the words of its own. All chosen; docs/extract.md has what they reach.

# A short part before or after a separator is the name of the site or the section.
_TITLE_SEPARATOR = re.compile(r"\s[|–—·•»«:/-]+\s|\s?[|｜]\s?")
# Fewer words are the name of a section, a person or a place.
_MIN_HEADLINE_WORDS = 5
_MIN_REPEATED = 0.6
_SENTENCE_END = re.compile(r"[.!?…:。！？।։۔؟]\W{0,3}$")


def headline_words(title: str, *, headings: Iterable[str], site: str) -> frozenset[str]:
    """Return the words of the headline in a page's title, without those of the site's name; none if it has no headline.

    If one of the main `headings` is only a name that the title repeats, the page is about that section or person.
    """
    longest = max(map(fold, _TITLE_SEPARATOR.split(title)), key=len)
    names = [f" {name} " for name in map(fold, headings) if name and count_words(name) < _MIN_HEADLINE_WORDS]
    if any(f" {fold(title)} ".startswith(name) or name in f" {longest} " for name in names):
        return frozenset()
    known = fold(site)
    words = frozenset(word for word in _words_in(longest) if word not in known)
    return words if len(words) >= _MIN_HEADLINE_WORDS else frozenset()


def repeats_headline(headline: frozenset[str], text: str) -> bool:
    """Return whether a text repeats most words of a headline."""
    return len(headline & frozenset(_words_in(text))) >= _MIN_REPEATED * len(headline)


def ends_sentence(line: str) -> bool:
    """Return whether a line ends like a sentence."""
    return _SENTENCE_END.search(line) is not None


def _words_in(text: str) -> Iterator[str]:
    """Yield the folded words of a text; in scripts without blanks every two letters."""
    folded = fold(text)
    is_spaceless = count_spaceless(folded)[0] > 0
    for token in folded.split():
        if is_spaceless and count_words(token) > 1:
            yield from map("".join, pairwise(token))
        else:
            yield token
