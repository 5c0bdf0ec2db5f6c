"""Finding and loading the configuration: a TOML file, overridden by the environment, validated by `config.schema`.

Error messages name the file or variable, the key, what was found and what is allowed. Passwords are masked in
everything that is printed: messages, `config check`, and store URLs in logs.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from worker.config.schema import Settings, require_distinct
from worker.config.sources import Section
from worker.errors import ConfigurationError

PREFIX: Final = "CORPUS_WORKER_"
FILE_VARIABLE: Final = "CORPUS_WORKER_CONFIG"
FILE_NAME: Final = "corpus-worker.toml"
"""The name of a configuration file that is found without being named."""
_MAX_SHOWN: Final = 80  # characters of a found value in a message, so that the message stays one readable line
# The difflib ratio above which an unknown variable counts as a misspelt setting. Chosen, not measured: such a variable
# stops the program, so one without our prefix, which may belong to another program, needs a closer match.
_SIMILAR_WITH_PREFIX: Final = 0.7
_SIMILAR_WITHOUT_PREFIX: Final = 0.9
_FILE_STORE: Final = re.compile(r"sqlite:(?!/{0,2}[^/].*@)", re.DOTALL)
"""The start of a SQLite URL: it has no login, and its path may contain any character."""
_LOGIN: Final = re.compile(r"\A((?:[\w+.-]+(?::/+|//+))?+[\w.%~+-]*+)(:?)(.*)(?=@)", re.DOTALL)
"""Scheme and user, then everything up to the last @ (the password), even if the scheme is misspelt."""
_NO_PORT: Final = re.compile(r"\A((?:[\w+.-]+(?::/+|//+))?+[^:@/?\[]*:)(?!/|\*\*\*|\d*(?:[/?,]|$)).*", re.DOTALL)
"""Text in the position of a port that is not a port: a password without the @ and host that should follow it."""
_PRIVATE: Final = frozenset({"headers", "login", "proxy"})
"""Keys of a source whose values are never shown."""
_SECRET: Final = re.compile(r"((?:pass|pwd|secret)\w{0,100}\s{0,100}=).*", re.DOTALL | re.IGNORECASE)
"""A secret parameter in a query or in libpq's key=value form, and everything after it: its quotes may be broken."""


def config_places(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where a configuration file is looked for if none is named: the first that exists is used."""
    home = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not home.is_absolute():  # the XDG specification ignores relative paths
        home = Path(os.path.expanduser("~/.config"))  # noqa: PTH111 - stays relative where there is no home
    own = (home / "corpus-worker" / FILE_NAME,) if home.is_absolute() else ()
    return (Path(FILE_NAME), Path("config/worker.toml"), *own)


def find_config(environment: Mapping[str, str]) -> Path | None:
    """Return the file that CORPUS_WORKER_CONFIG names, else the first of the usual places that has one, else None."""
    if named := environment.get(FILE_VARIABLE):
        return Path(named)
    return next((path for path in config_places(environment) if os.path.lexists(path)), None)


def require_config(environment: Mapping[str, str]) -> Path:
    """Return what `find_config` finds; raises ConfigurationError, with the places it looked in, if that is none."""
    if found := find_config(environment):
        return found
    places = ", ".join(map(str, config_places(environment)))
    raise ConfigurationError(
        f"there is no configuration; looked for {places} ({FILE_VARIABLE} is not set): "
        "write one with `corpus-worker init`, or name one with --config FILE"
    )


def load_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Return the effective settings: the file at `path`, with the variables of `environment` over it.

    Raises ConfigurationError with a line for each problem: file or variable, key, what was found, what is allowed.
    """
    values: dict[str, object] = _read(path)
    overrides = dict(_overrides(environment))
    for (section, key), value in overrides.items():
        part = values.setdefault(section, {})
        if not isinstance(part, dict):
            raise ConfigurationError(
                f"{path}: {section}: found {_quoted(part, place=(section,))}; expected a table [{section}]"
            )
        part[key] = value
    settings, problems = _validated(values)
    if problems:
        raise ConfigurationError("\n".join(_error_messages(problems, path, overrides)))
    return settings


def _validated(values: Mapping[str, object]) -> tuple[Settings, Sequence[ErrorDetails]]:
    """Return the settings with each section that is given validated alone, and everything that is wrong with them.

    Sections that are not given have their defaults, for which no validator is built.
    """
    sections: dict[str, Any] = {}
    problems: list[ErrorDetails] = []
    for name, found in values.items():
        if name not in Settings.model_fields:
            problems.append({"type": "extra_forbidden", "loc": (name,), "msg": "", "input": found})
            continue
        try:
            sections[name] = TypeAdapter(Settings.model_fields[name].rebuild_annotation()).validate_python(found)
        except ValidationError as exc:
            problems += [{**problem, "loc": (name, *problem["loc"])} for problem in exc.errors()]
    settings = Settings.model_construct(**sections)
    try:
        require_distinct(settings.sources)
    except ValueError as exc:
        error: ErrorDetails = {"type": "value_error", "loc": (), "msg": "", "input": {}, "ctx": {"error": exc}}
        problems.append(error)
    return settings, problems


def to_toml(settings: Settings) -> str:
    """Return settings as TOML, secrets masked."""
    import tomlkit

    return tomlkit.dumps(masked_values(settings))


def masked_values(settings: Settings) -> dict[str, object]:
    """Return settings as JSON-like values for printing, secrets masked."""
    values: dict[str, object] = settings.model_dump(mode="json", exclude_none=True)
    values["store"] = {"url": mask_url(settings.store.url)}
    values["web"] = {
        **settings.web.model_dump(mode="json"),
        "password_hash": "***" if settings.web.password_hash else "",
    }
    values["sources"] = [_masked_source(source) for source in values.get("sources", ())]  # type: ignore[attr-defined]
    return values


def _masked_source(source: Mapping[str, object]) -> dict[str, object]:
    """Return the values of a source, with `***` for headers that are not read from the environment."""
    shown = dict(source)
    if isinstance(headers := source.get("headers"), dict):
        shown["headers"] = {name: value if value.startswith("env:") else "***" for name, value in headers.items()}
    if isinstance(proxy := source.get("proxy"), str):
        shown["proxy"] = _without_login(proxy)
    return shown


def mask_url(url: str) -> str:
    """Return a store URL with its password and other secrets replaced by `***`, even if the URL is malformed."""
    return _SECRET.sub(r"\1***", url) if _FILE_STORE.match(url) else _NO_PORT.sub(r"\1***", _without_login(url))


def _without_login(text: str) -> str:
    """Mask the password of a URL, and the values of parameters named like a secret."""
    return _LOGIN.sub(_masked_login, _SECRET.sub(r"\1***", text))


def _masked_login(found: re.Match[str]) -> str:
    """Return scheme and user of a matched login, with `***` in the place of a password."""
    known, colon, rest = found.groups()
    return f"{known}{colon}{'***' if rest or colon else ''}"


def _read(path: Path) -> dict[str, object]:
    """Return the parsed configuration file; raises ConfigurationError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: no such file; name another with --config FILE, or write one with `corpus-worker init`"
        ) from None
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: not UTF-8 text (byte {exc.start}); save it as UTF-8") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read: {exc.strerror}") from exc
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: {exc}") from exc
    except RecursionError:
        raise ConfigurationError(f"{path}: not valid TOML: lists or tables are nested too deeply") from None


def _overrides(environment: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], object]]:
    """Yield (section, key) and value of every setting in the environment; raises ConfigurationError."""
    names = frozenset(_environment_names())
    for name in sorted(environment.keys() - {FILE_VARIABLE}):
        if name in names:
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            yield (section, key), _coerce(section, key, environment[name], name)
        elif meant := _misspelling_hint(name, names | {FILE_VARIABLE}):
            raise ConfigurationError(f"environment: {name}: no such setting; {meant}")


def _misspelling_hint(name: str, names: Collection[str]) -> str:
    """Return a correction for a variable that was meant for this program, empty for variables of other programs."""
    upper = name.upper()
    if upper in names:
        return f"write it in capitals: {upper}"
    ours = upper.startswith(PREFIX) and "__" in upper
    if not ours and "CORPUS" not in upper and "WORKER" not in upper:
        return ""
    # The common prefix is cut off: it would make all names similar.
    cut, least = (PREFIX, _SIMILAR_WITH_PREFIX) if ours else ("", _SIMILAR_WITHOUT_PREFIX)
    known = {each.removeprefix(cut): each for each in names}
    near = [known[each] for each in get_close_matches(upper.removeprefix(cut), known, n=1, cutoff=least)]
    if near:
        return f"did you mean {near[0]}?"
    return f"expected one of {', '.join(sorted(names))}" if ours else ""


def _coerce(section: str, key: str, text: str, name: str) -> object:
    """Convert the text of an environment variable to the type of its setting; raises ConfigurationError."""
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, Section)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise ConfigurationError(f"environment: {name}: not UTF-8 text; set it again, in UTF-8") from exc
    value = _parse_json(text, name, place=(section, key))
    try:
        return TypeAdapter(model.model_fields[key].rebuild_annotation()).validate_python(value, strict=False)
    except ValidationError as exc:
        expected = _expected(exc.errors()[0])
        raise ConfigurationError(
            f"environment: {name}: found {_quoted(text, place=(section, key))}; expected {expected}"
        ) from exc


def _parse_json(text: str, name: str, *, place: Sequence[str]) -> object:
    """Return the parsed text of a list or table, other text unchanged; raises ConfigurationError."""
    if not text.startswith(("[", "{")):
        return text
    try:
        value: object = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as exc:
        raise ConfigurationError(
            f"environment: {name}: found {_quoted(text, place=place)}; expected JSON ({exc})"
        ) from exc
    return value


def _environment_names() -> Iterator[str]:
    """Yield the names of all variables that can override a setting."""
    for section, part in _tables():
        yield from (f"{PREFIX}{section}__{key}".upper() for key in part.model_fields)


def _tables() -> Iterator[tuple[str, type[Section]]]:
    """Yield the name and the section of every `[table]`, not of the lists of tables."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def _error_messages(
    problems: Iterable[ErrorDetails], path: Path, overrides: Mapping[tuple[str, str], object]
) -> Iterator[str]:
    """Yield one message for each problem that pydantic found."""
    for problem in problems:
        where = _key_path(problem["loc"])
        origin = "environment" if problem["loc"][:2] in overrides else str(path)
        if problem["type"] == "extra_forbidden":
            yield f"{origin}: {where}: {_unknown_key(problem['loc'])}"
        elif problem["type"] == "missing":
            yield f"{origin}: {where}: missing; it is required"
        elif isinstance(problem["input"], dict | Section):
            yield f"{origin}: {where or 'configuration'}: expected {_expected(problem)}"
        else:
            found = "***" if _PRIVATE.intersection(problem["loc"]) else _quoted(problem["input"], place=problem["loc"])
            yield f"{origin}: {where}: found {found}; expected {_expected(problem)}"


def _key_path(location: Sequence[int | str]) -> str:
    """Return the path of a key as shown to users: `sources[2].kind`, counting from 1."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]"]
    return "".join(parts).lstrip(".")


def _unknown_key(location: Sequence[int | str]) -> str:
    """Return what may have been meant by a key that does not exist, and the keys that do."""
    model: object = Settings
    for part in location[:-1]:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, Section):
            model = _section_in(model.model_fields[part].annotation)
    known = sorted(model.model_fields) if isinstance(model, type) and issubclass(model, Section) else []
    written = str(location[-1])
    near = get_close_matches(written.lower().replace("-", "_"), known, n=1, cutoff=_SIMILAR_WITH_PREFIX)
    elsewhere = [f"[{name}]" for name, part in _tables() if written in part.model_fields]
    hint = f"did you mean {near[0]}? " if near else f"it is a key of {' and '.join(elsewhere)}; " if elsewhere else ""
    return f"unknown key; {hint}expected one of {', '.join(known)}"


def _section_in(annotation: object) -> object:
    """Return the section that a field holds, optional or in a list; the annotation itself if it holds none."""
    within = (each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, Section))
    return next(within, annotation)


_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "string": "a text in quotation marks",
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "tuple": 'a list in brackets, such as ["…", "…"]',
        "dict": 'a table in braces, such as {{"…" = "…"}}',
        "greater_than": "a number above {gt:g}",
        "greater_than_equal": "a number of {ge:g} or more",
        "less_than_equal": "a number of at most {le:g}",
    }
)
"""What is allowed, by the kind of error: pydantic's own words name types of Python."""


def _expected(problem: ErrorDetails) -> str:
    """Return what is allowed, in the words of a person who writes TOML."""
    kind, place = problem["type"], problem["loc"]
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "literal_error":
        return str(problem["ctx"]["expected"]).replace("'", '"')
    if kind == "model_type":
        name = ".".join(str(part) for part in place if isinstance(part, str))
        return f"a table [[{name}]]" if "sources" in place else f"a table [{name}]"
    if kind == "tuple_type" and place == ("sources",):
        return "tables [[sources]]"
    name = kind.removesuffix("_type").removesuffix("_parsing")
    words = _WORDS.get(name, problem["msg"].removeprefix("Input should be ")).format(**problem.get("ctx", {}))
    is_quoted = name in {"int", "float", "bool"} and kind.endswith("_type") and isinstance(problem["input"], str)
    return f"{words}, without quotation marks" if is_quoted else words


def _quoted(value: object, *, place: Sequence[int | str] = ()) -> str:
    """Return a found value as JSON; secrets are masked first, as quoting could hide them from the patterns."""
    if isinstance(value, Mapping) and "password_hash" in value:
        value = {**value, "password_hash": "***"}
    if tuple(place)[:2] == ("web", "password_hash"):
        value = "***"  # perhaps the password itself
    masking = _MASKS.get(str(place[0]) if place else "", _without_login)
    text = json.dumps(_masked(value, masking), ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


_MASKS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType({"store": mask_url, "notify": lambda _: "***"})
"""How the texts in a section are shown that holds secrets."""


def _masked(value: object, masking: Callable[[str], str]) -> object:
    """Return a value with every string in it masked, ready for JSON."""
    if isinstance(value, Mapping):
        return {_masked(str(key), masking): _masked(inner, masking) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner, masking) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else masking(str(value))
