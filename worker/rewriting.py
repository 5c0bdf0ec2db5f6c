"""Changes the configuration file: the new text is checked as a whole, and takes the old one's place at once."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from pathlib import Path

from worker.configuration import load
from worker.errors import ConfigurationError
from worker.outputs import whole_file
from worker.settings import Settings


def rewrite(path: Path, edit: Callable[[str], str], environment: Mapping[str, str]) -> Settings:
    """Replace a configuration file by its edited text, whole or not at all; return the settings it now gives.

    Raises ConfigurationError where the file cannot be written, or the new text would not be valid: the old one stays.
    """
    target = path.resolve()
    try:
        found = target.read_bytes()
        text = edit(found.decode("utf-8-sig"))
        with whole_file(target) as file:
            file.write(text.encode("utf-8-sig" if found.startswith(BOM_UTF8) else "utf-8"))
            file.flush()
            return _checked(Path(file.name), path, environment)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _checked(written: Path, path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the new file as the program will; complaints name the file it is to become."""
    try:
        return load(written, environment)
    except ConfigurationError as exc:
        raise ConfigurationError(str(exc).replace(str(written), str(path))) from exc


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    advice = "check the free space, and the permissions of the file and its folder"
    return ConfigurationError(f"{path}: cannot be changed: {error.strerror or error}; {advice}")
