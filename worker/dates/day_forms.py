"""Find a day (day, month and year) in a text, in the forms and languages in which news sites write it.

`find_day` tries every pattern of `_FORMS` and returns the first match, the longest one if several begin at one place.
The names of months in many languages are below; `month_of` looks them up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from worker.models.base import dataclass

# Names of months.

_COMBINING_MARKS_END: Final = 0x370  # end of the Unicode block "Combining Diacritical Marks"
# January to December: full names, abbreviations, and the grammatical cases used beside a day; folded by `fold_name`.
_NAMES: Final = (
    (
        "january jan januar janvier janv enero ene gennaio gen janeiro januari tammikuuta tammi tammikuu jaanuar "
        "jaan janvaris sausio saus sausis stycznia sty styczen ledna led leden januara ianuarie ian януари яну "
        "јануари јан јануар січня січ січень студзеня сту студзень января янв январь ιανουαριου ιαν ιανουαριος ocak "
        "oca yanvar yan қаңтар қаң հունվարի հնվ հունվար იანვარი იან ינואר ינו׳ يناير كانون_الثاني جانفي ژانویهٔ "
        "ژانویه جنوری जनवरी जन॰ জানুয়ারী জানু जानेवारी जाने જાન્યુઆરી જાન્યુ ਜਨਵਰੀ ਜਨ ஜனவரி ஜன జనవరి జన ಜನವರಿ ಜನ "
        "ജനുവരി ജനു ජනවාරි ජන มกราคม ม.ค ມັງກອນ ມ.ກ មករា ဇန်နဝါရီ ဇန် ጃንዋሪ ጃን gener urtarrila urt xaneiro xan "
        "ionawr ion janar jannar januaro januarie janner জানুয়ারি"
    ),
    (
        "february feb februar fevrier fevr febrero febbraio fevereiro fev februari helmikuuta helmi helmikuu "
        "veebruar veebr februaris febr vasario vas vasaris lutego lut luty unora uno unor februara februarie "
        "февруари фев фебруар феб лютого лют лютии лютага люты февраля февр февраль φεβρουαριου φεβ φεβρουαριος "
        "subat sub fevral ақпан ақп փետրվարի փտվ փետրվար თებერვალი თებ פברואר פבר׳ فبراير شباط فيفري فوریهٔ فوریه "
        "فروری फ़रवरी फ़र॰ ফেব্রুয়ারী ফেব फेब्रुवारी फेब्रु ફેબ્રુઆરી ફેબ્રુ ਫ਼ਰਵਰੀ ਫ਼ਰ பிப்ரவரி பிப் ఫిబ్రవరి "
        "ఫిబ్ర ಫೆಬ್ರವರಿ ಫೆಬ್ರ ഫെബ്രുവരി ഫെബ്രു පෙබරවාරි පෙබ फेब्रुअरी กุมภาพันธ์ ก.พ ກຸມພາ ກ.ພ កុម្ភៈ ဖေဖော်ဝါရီ ဖေ "
        "pebrero peb ፌብሩዋሪ ፌብ febrer otsaila ots febreiro chwefror chwef chw shkurt shk frar fra februaro feber "
        "ফেব্রুয়ারি"
    ),
    (
        "march mar marz mars marzo marco maart mrt marts maaliskuuta maalis maaliskuu kovo kov kovas marca marzec "
        "brezna bre brezen marec marcius marc martie март мар mart березня бер березень сакавіка сак сакавік марта "
        "μαρτιου μαρ μαρτιος наурыз нау մարտի մրտ մարտ მარტი მარ מרץ مارس آذار مارچ मार्च মার্চ માર્ચ ਮਾਰਚ மார்ச் "
        "மார் మార్చి ಮಾರ್ಚ್ മാർച്ച് മാർ මාර්තු මාර් มีนาคม มี.ค ມີນາ ມ.ນ មីនា မတ် maret mac marso machi ማርች martxoa "
        "mawrth maw marzu marto mrz"
    ),
    (
        "april apr avril avr abril abr aprile huhtikuuta huhti huhtikuu aprill aprilis balandzio bal balandis "
        "kwietnia kwi kwiecien dubna dub duben aprila aprilie април апр квітня квіт квітень красавіка кра красавік "
        "апреля апрель απριλιου απρ απριλιος nisan nis aprel сәуір сәу ապրիլի ապր ապրիլ აპრილი აპრ אפריל אפר׳ أبريل "
        "نيسان أفريل آوریل اپریل अप्रैल এপ্রিল এপ্রি एप्रिल एप्रि એપ્રિલ ਅਪ੍ਰੈਲ ਅਪ੍ਰੈ ஏப்ரல் ஏப் ఏప్రిల్ ఏప్రి "
        "ಏಪ್ರಿಲ್ ಏಪ್ರಿ ഏപ്രിൽ ഏപ്രി අප්‍රේල් अप्रिल เมษายน เม.ย ເມສາ ມ.ສ មេសា ဧပြီ ဧ aprili ኤፕሪል ኤፕሪ apirila api "
        "ebrill ebr prill pri aprilo"
    ),
    (
        "may mai mayo maggio mag maio mei maj toukokuuta touko toukokuu maijs geguzes geg geguze maja kvetna kve "
        "kveten majus маи мај травня трав травень мая μαιου μαι μαιος mayis мамыр мам մայիսի մյս մայիս მაისი მაი "
        "מאי مايو أيار ماي مهٔ مه مئی मई মে मे મે ਮਈ மே మే ಮೇ മേയ് මැයි พฤษภาคม พ.ค ພຶດສະພາ ພ.ພ ឧសភា မေ ሜይ maig "
        "maiatza mejju mej majo"
    ),
    (
        "june jun juni juin junio giugno giu junho kesakuuta kesa kesakuu juuni junijs birzelio birz birzelis "
        "czerwca cze czerwiec cervna cvn cerven juna junius iunie iun юни јуни јун junij червня черв червень "
        "чэрвеня чэр чэрвень июня июн июнь ιουνιου ιουν ιουνιος haziran haz iyun iyn маусым мау հունիսի հնս հունիս "
        "ივნისი ივნ יוני يونيو حزيران جوان ژوئن جون जून জুন જૂન ਜੂਨ ஜூன் జూన్ ಜೂನ್ ജൂൺ ජූනි जुन มิถุนายน มิ.ย "
        "ມິຖຸນາ ມິ.ຖ មិថុនា ဇွန် hunyo hun ጁን juny ekaina eka xuno mehefin meh qershor qer gunju gun junie jui"
    ),
    (
        "july jul juli juillet juil julio luglio lug julho heinakuuta heina heinakuu juuli julijs liepos liep liepa "
        "lipca lip lipiec cervence cvc cervenec jula julius iulie iul юли јули јул julij липня лип липень ліпеня "
        "ліп ліпень июля июл июль ιουλιου ιουλ ιουλιος temmuz tem iyul iyl шілде шіл հուլիսի հլս հուլիս ივლისი ივლ "
        "יולי يوليو تموز جويلية يوليوز ژوئیهٔ ژوئیه جولائی जुलाई जुल॰ জুলাই জুল जुलै જુલાઈ ਜੁਲਾਈ ਜੁਲਾ ஜூலை జులై "
        "ಜುಲೈ ജൂലൈ ජූලි กรกฎาคม ก.ค ກໍລະກົດ ກ.ລ កក្កដា ဇူလိုင် ဇူ julai hulyo hul ጁላይ juliol uztaila uzt xullo xul "
        "gorffennaf gorff gor korrik korr lulju lul julie"
    ),
    (
        "august aug aout agosto ago augustus augusti elokuuta elo elokuu agust agu augusts rugpjucio rugp rugpjutis "
        "sierpnia sie sierpien srpna srp srpen augusta augusztus август авг avgust avg серпня серп серпень жніуня "
        "жні жнівень августа αυγουστου αυγ αυγουστος agustos avqust avq тамыз там օգոստոսի օգս օգոստոս აგვისტო აგვ "
        "אוגוסט אוג׳ أغسطس آب أوت غشت اوت اگست अगस्त अग॰ আগস্ট আগ ऑगस्ट ऑग ઑગસ્ટ ਅਗਸਤ ਅਗ ஆகஸ்ட் ஆக ఆగస్టు ఆగ ಆಗಸ್ಟ್ "
        "ಆಗ ഓഗസ്റ്റ് ഓഗ අගෝස්තු අගෝ अगस्ट สิงหาคม ส.ค ສິງຫາ ສ.ຫ សីហា ဩဂုတ် ဩ agustus ogos ogo agosti ኦገስት ኦገስ agost "
        "abuztua abu awst gusht gush awwissu aww augusto ags"
    ),
    (
        "september sep sept septembre septiembre settembre set setembro syyskuuta syys syyskuu septembris rugsejo "
        "rugs rugsejis wrzesnia wrz wrzesien zari zar septembra szeptember szept septembrie септември сеп септембар "
        "septembar вересня вер вересень верасня верасень сентября сент сентябрь σεπτεμβριου σεπ σεπτεμβριος eylul "
        "eyl sentyabr sen қыркүиек қыр sentabr сен սեպտեմբերի սեպ սեպտեմբեր სექტემბერი სექ ספטמבר ספט׳ سبتمبر أيلول "
        "شتنبر سپتامبر ستمبر सितंबर सित॰ সেপ্টেম্বর সেপ सप्टेंबर सप्टें સપ્ટેમ્બર સપ્ટે ਸਤੰਬਰ ਸਤੰ செப்டம்பர் செப் "
        "సెప్టెంబర్ సెప్టెం ಸೆಪ್ಟೆಂಬರ್ ಸೆಪ್ಟೆಂ സെപ്റ്റംബർ സെപ്റ്റം සැප්තැම්බර් සැප් सेप्टेम्बर กันยายน ก.ย ກັນຍາ "
        "ກ.ຍ កញ្ញា စက်တင်ဘာ စက် setyembre septemba ሴፕቴምበር ሴፕቴ setembre iraila ira medi shtator sht settembru "
        "septembro"
    ),
    (
        "october oct oktober okt octobre octubre ottobre ott outubro out lokakuuta loka lokakuu oktoober oktobris "
        "spalio spal spalis pazdziernika paz pazdziernik rijna rij rijen oktobra octombrie октомври окт октобар "
        "oktobar жовтня жовт жовтень кастрычніка кас кастрычнік октября октябрь οκτωβριου οκτ οκτωβριος ekim eki "
        "oktyabr қазан қаз oktabr հոկտեմբերի հոկ հոկտեմբեր ოქტომბერი ოქტ אוקטובר אוק׳ أكتوبر تشرين_الأول اکتبر "
        "اکتوبر अक्टूबर अक्टू॰ অক্টোবর অক্টো ऑक्टोबर ऑक्टो ઑક્ટોબર ઑક્ટો ਅਕਤੂਬਰ ਅਕਤੂ அக்டோபர் அக் అక్టోబర్ అక్టో "
        "ಅಕ್ಟೋಬರ್ ಅಕ್ಟೋ ഒക്‌ടോബർ ഒക്ടോ ඔක්තෝබර් ඔක් अक्टोबर ตุลาคม ต.ค ຕຸລາ ຕ.ລ តុលា အောက်တိုဘာ အောက် oktubre "
        "oktoba ኦክቶበር ኦክቶ urria urr hydref hyd tetor tet ottubru oktobro"
    ),
    (
        "november nov novembre noviembre novembro marraskuuta marras marraskuu novembris lapkricio lapkr lapkritis "
        "listopada lis listopad listopadu novembra noiembrie ноември ное новембар нов novembar листопада лист "
        "листопад лістапада ліс лістапад ноября нояб ноябрь νοεμβριου νοε νοεμβριος kasim kas noyabr noy қараша қар "
        "ноя նոյեմբերի նոյ նոյեմբեր ნოემბერი ნოე נובמבר נוב׳ نوفمبر تشرين_الثاني نونبر نوامبر نومبر नवंबर नव॰ "
        "নভেম্বর নভে नोव्हेंबर नोव्हें નવેમ્બર નવે ਨਵੰਬਰ ਨਵੰ நவம்பர் நவ నవంబర్ నవం ನವೆಂಬರ್ ನವೆಂ നവംബർ നവം නොවැම්බර් "
        "නොවැ नोभेम्बर พฤศจิกายน พ.ย ພະຈິກ ພ.ຈ វិច្ឆិកា နိုဝင်ဘာ နို nobyembre nob novemba ኖቬምበር ኖቬም azaroa aza "
        "tachwedd tach nentor nen novembru"
    ),
    (
        "december dec dezember dez decembre diciembre dic dicembre dezembro desember des joulukuuta joulu joulukuu "
        "detsember dets decembris gruodzio gruod gruodis grudnia gru grudzien prosince pro prosinec decembra "
        "decembrie декември дек децембар дец decembar грудня груд грудень снежня сне снежань декабря декабрь "
        "δεκεμβριου δεκ δεκεμβριος aralik ara dekabr dek желтоқсан жел դեկտեմբերի դեկ դեկտեմբեր დეკემბერი დეკ דצמבר "
        "דצמ׳ ديسمبر كانون_الأول دجنبر دسامبر دسمبر दिसंबर दिस॰ ডিসেম্বর ডিসে डिसेंबर डिसें ડિસેમ્બર ડિસે ਦਸੰਬਰ ਦਸੰ "
        "டிசம்பர் டிச డిసెంబర్ డిసెం ಡಿಸೆಂಬರ್ ಡಿಸೆಂ ഡിസംബർ ഡിസം දෙසැම්බර් දෙසැ डिसेम्बर ธันวาคม ธ.ค ທັນວາ ທ.ວ ធ្នូ "
        "ဒီဇင်ဘာ ဒီ disember dis disyembre desemba ዲሴምበር ዲሴም desembre abendua abe decembro rhagfyr rhag dhjetor dhj "
        "dicembru"
    ),
)
# Croatian uses some month names for other months than its neighbours do.
_CROATIAN: Final = MappingProxyType(
    {"lip": 6, "lipnja": 6, "srp": 7, "srpnja": 7, "lis": 10, "listopad": 10, "listopada": 10}
)


def fold_name(word: str) -> str:
    """Return a word in lower case, without accents (Latin, Greek and Cyrillic) and without a final dot."""
    if word.isascii():
        return word.lower().rstrip(".")
    marked = unicodedata.normalize("NFD", word.lower().replace("ı", "i").rstrip("."))
    bare = "".join(char for char in marked if not (unicodedata.combining(char) and ord(char) < _COMBINING_MARKS_END))
    return unicodedata.normalize("NFC", bare)


def month_of(word: str, *, language: str = "") -> int | None:
    """Return the number of the month that a word names, or None; `language` decides between languages that disagree."""
    name = fold_name(word)
    return (_CROATIAN.get(name) if language[:2] == "hr" else None) or _NUMBERS.get(name)


_NUMBERS: Final = MappingProxyType(
    {fold_name(name.replace("_", " ")): number for number, names in enumerate(_NAMES, 1) for name in names.split()}
)


# Eras and patterns.

_BUDDHIST_OFFSET: Final = 543  # years from the Buddhist to the common era (Thailand)
_MIN_BUDDHIST_YEAR: Final = 2400  # 1857; no article is dated in a later year of the common era
# Beside a Thai month, two-digit years from this one on are of the Buddhist era: 69 is 2569, 2026.
_MIN_SHORT_BUDDHIST_YEAR: Final = 40
# The Persian calendar: its months, of which the first six have 31 days and the next five 30; the leap years in each 33
# years; and the day on which a year begins.
_PERSIAN_MONTHS: Final = (
    "فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور", "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند",
)  # fmt: skip
_PERSIAN_LEAP_YEARS: Final = (1, 5, 9, 13, 17, 22, 26, 30)
_PERSIAN_YEAR_1400: Final = date(2021, 3, 21)
# Two-digit years from this one on are in the last century, as in Python's `email.utils`.
_CENTURY_PIVOT: Final = 69
_ERAS: Final = MappingProxyType({"令和": 2018, "平成": 1988, "昭和": 1925, "民國": 1911, "民国": 1911})

_NO_NUMBER_BEFORE = r"(?<![\d.,/-])"
# Thai and Lao abbreviate months with a dot inside: `พ.ย.`.
_WORD = r"(?:[\u0e00-\u0eff]{1,3}\.[\u0e00-\u0eff]|[^\W\d_](?:[^\s\d.,;:/|()\[\]<>·•–—-]){1,20})"
_YEAR = r"(?:1[89]|2[05])\d{2}"
_ORDINAL = r"(?:st|nd|rd|th|er|re|[ºª°])?"
# With the words for month and year, and in Thai the era: `วันที่ 7 มีนาคม พ.ศ. 2569`, `ថ្ងៃទី៧ ខែមីនា ឆ្នាំ២០២៦`.
_TO_MONTH = r"[\s.,/–-]{0,4}(?:(?:de|del|di|of|do|dia|ta'|den|min)\s{1,2}|(?:เดือน|ເດືອນ|ខែ)\s?|ב)?"
_TO_YEAR = r"[.,]?[\s,/–-]{0,3}(?:(?:de|del|of|do|năm)\s{1,2}|(?:[พค]\.ศ\.?|ປີ|ឆ្នាំ)\s?)?"
# `Mar 12 20:15:00 ICT 2024`: the Unix `date` command writes the time between day and year.
_CLOCK_BETWEEN = r"\s\d{1,2}:\d\d(?::\d\d)?\s(?:[A-Z]{2,5}\s|[+-]\d{4}\s)?"


@dataclass(frozen=True, slots=True)
class WrittenDay:
    """A day found in `text[start:end]`; it need not exist in the calendar.

    `is_ambiguous`: the form does not show which number is the month (`3/4/2024`).
    """

    year: int
    month: int
    day: int
    start: int
    end: int
    is_ambiguous: bool = False


def find_day(text: str, *, language: str = "") -> WrittenDay | None:
    """Return the first day in a text, the longest if several begin at one place; it need not exist in the calendar."""
    found = [day for form in _FORMS if (day := form.first(text, language)) is not None]
    return min(found, key=lambda day: (day.start, day.start - day.end), default=None)


@dataclass(frozen=True, slots=True)
class _Form:
    """A pattern with the groups `year`, `day` and either `month` (a number) or `name` (a word).

    Optional groups: `era` (a Japanese or Taiwanese era), `between` (the time of day between day and year); `persian` is
    a year of the Persian calendar in place of `year`.
    """

    pattern: re.Pattern[str]
    is_ambiguous: bool = False

    def first(self, text: str, language: str) -> WrittenDay | None:
        place = 0
        while (match := self.pattern.search(text, place)) is not None:
            if (day := self._read(match, language)) is not None:
                return day
            place = match.start() + 1
        return None

    def _read(self, match: re.Match[str], language: str) -> WrittenDay | None:
        groups = match.groupdict()
        end = match.end("day") if groups.get("between") else match.end()
        if groups.get("persian"):
            day = _read_persian(groups, is_persian=language[:2] == "fa")
            return WrittenDay(day.year, day.month, day.day, match.start(), end) if day else None
        month = month_of(groups["name"], language=language) if groups.get("name") else int(groups["month"])
        if month is None:
            return None
        if groups.get("era"):
            year = _ERAS[groups["era"]] + _number(groups["year"])
        else:
            year = _common_era(groups["year"], is_thai="\u0e00" <= (groups.get("name") or "")[:1] <= "\u0e7f")
        return WrittenDay(year, month, int(groups["day"]), match.start(), end, self.is_ambiguous)


def _number(year: str) -> int:
    return 1 if year == "元" else int(year)


def _common_era(year: str, *, is_thai: bool) -> int:
    """Return a year of the common era for a written year of four or two digits, or of the Buddhist era."""
    number = _number(year)
    if len(year) == 2 and is_thai and number >= _MIN_SHORT_BUDDHIST_YEAR:
        number += 2500
    elif len(year) == 2:
        return number + (1900 if number >= _CENTURY_PIVOT else 2000)
    return number - _BUDDHIST_OFFSET if number >= _MIN_BUDDHIST_YEAR else number


def _read_persian(groups: Mapping[str, str], *, is_persian: bool) -> date | None:
    """Return the day of the common calendar for one of the Persian; right for the years 1343 to 1472.

    Numbers alone are such a day only on a Persian page.
    """
    name = groups.get("name")
    year, month, day = int(groups["persian"]), int(groups.get("month") or 0), int(groups["day"])
    if name:
        month = _PERSIAN_MONTHS.index(name) + 1
    if not (name or is_persian) or not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    days = 365 * (year - 1400) + _persian_leap_years_before(year) - _persian_leap_years_before(1400)
    return _PERSIAN_YEAR_1400 + timedelta(days=days + 30 * (month - 1) + min(month - 1, 6) + day - 1)


def _persian_leap_years_before(year: int) -> int:
    cycles, rest = divmod(year, 33)
    return cycles * len(_PERSIAN_LEAP_YEARS) + sum(leap < rest for leap in _PERSIAN_LEAP_YEARS)


def _form(*parts: str, is_ambiguous: bool = False) -> _Form:
    return _Form(re.compile("".join(parts), re.IGNORECASE), is_ambiguous)


_FORMS: Final[tuple[_Form, ...]] = (
    # 2026-03-07, 2026/3/7, 2026. 3. 7
    _form(
        rf"(?<![\d.,/-])(?P<year>{_YEAR})\s?(?P<by>[-/.])\s?(?P<month>\d{{1,2}})\s?(?P=by)\s?(?P<day>\d{{1,2}})(?!\d)"
    ),
    # 7/3/2026, 07.03.26
    _form(
        _NO_NUMBER_BEFORE,
        rf"(?P<day>\d{{1,2}})\s?(?P<by>[-/.])\s?(?P<month>\d{{1,2}})\s?(?P=by)\s?(?P<year>{_YEAR}|\d{{2}})",
        r"(?![\d/]|[-.]\d)",
        is_ambiguous=True,
    ),
    # 7 | 3 | 2026
    _form(
        rf"(?<![\d|])(?P<day>\d{{1,2}})(?P<by>\s?[|·]\s?)(?P<month>\d{{1,2}})(?P=by)(?P<year>{_YEAR})(?![\d|])",
        is_ambiguous=True,
    ),
    # 7 March 2026, 7. März 2026, 7 de marzo de 2026, 07-Mar-26
    _form(
        rf"(?<![\d.:/-])(?<!\d,)(?P<day>\d{{1,2}}){_ORDINAL}{_TO_MONTH}(?P<name>{_WORD}(?:\sال\w{{3,6}})?)",
        rf"{_TO_YEAR}(?P<year>{_YEAR}(?!\d)|\d{{2}}(?![\d:.]))",
    ),
    # March 7th, 2026; Mar 7 20:15:00 ICT 2026
    _form(
        rf"(?<!\w)(?P<name>{_WORD})[.,]?\s?[/-]?\s?(?P<day>\d{{1,2}}){_ORDINAL}",
        rf"(?:[\s.,/-]{{1,3}}|(?P<between>{_CLOCK_BETWEEN}))(?P<year>{_YEAR})(?!\d)",
    ),
    # 2026. március 7., 2026 m. kovo 7 d., 2026-Mar-07
    _form(
        _NO_NUMBER_BEFORE,
        rf"(?P<year>{_YEAR})[.,]?\s?(?:m\.|-)?\s?(?P<name>{_WORD})\.?[\s-]?(?P<day>\d{{1,2}})(?![\d:])",
    ),
    # 2026. gada 7. marts
    _form(_NO_NUMBER_BEFORE, rf"(?P<year>{_YEAR})\.?\s(?:gada\s)?(?P<day>\d{{1,2}})\.?\s(?P<name>{_WORD})"),
    # 2026年3月7日, 令和8年3月7日, 2026년 3월 7일
    _form(
        r"(?P<era>令和|平成|昭和|民國|民国)?\s?(?P<year>\d{1,4}|元)\s?[年년]\s?",
        r"(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일號号]?",
    ),
    # 7 tháng 3 năm 2026, 7 thg 3, 2026
    _form(
        r"(?<!\d)(?P<day>\d{1,2})\s?,?\s?(?:tháng|thg\.?|th\.?)\s?(?P<month>\d{1,2})\s?[,./-]?\s?(?:năm\s)?",
        rf"(?P<year>{_YEAR})(?!\d)",
    ),
    # ۱۶ اسفند ۱۴۰۴
    _form(rf"(?<!\d)(?P<day>\d{{1,2}})\s(?P<name>{'|'.join(_PERSIAN_MONTHS)})(?:\sماه)?\s(?P<persian>1[34]\d\d)(?!\d)"),
    # ۱۴۰۴/۱۲/۱۶, on a Persian page
    _form(r"(?<![\d/-])(?P<persian>1[34]\d\d)(?P<by>[/-])(?P<month>\d{1,2})(?P=by)(?P<day>\d{1,2})(?![\d/-])"),
    # tháng 3 7, 2026
    _form(rf"(?:tháng|thg\.?)\s?(?P<month>\d{{1,2}})\s(?P<day>\d{{1,2}}),?\s(?:năm\s)?(?P<year>{_YEAR})(?!\d)"),
)
