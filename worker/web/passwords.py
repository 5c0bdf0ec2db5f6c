"""The password of the pages: its hash, and a check that limits how often it can be tried."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import unicodedata
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from starlette.exceptions import HTTPException

from worker.config.types import PASSWORD_HASH
from worker.errors import UsageError
from worker.logs import log
from worker.ports import Clock

_LN, _R, _P = 15, 8, 3
"""32 MB and three rounds: one of the equal choices of OWASP's Password Storage Cheat Sheet for scrypt."""
_MIN_PASSWORD: Final = 8  # characters, as NIST SP 800-63B requires of a password that a person chooses
_MAX_PASSWORD: Final = 1_024  # characters; chosen: longer than any passphrase
_THREADS: Final = 2  # hashes that are computed at once: 64 MB together, however many people try


def hash_password(password: str) -> str:
    """Return the hash of a password, with its parameters and a random salt, in the PHC string format.

    Raises UsageError for a password that is too short or too long.
    """
    if not _MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
        raise UsageError(f"the password has {len(password)} characters: choose one of {_MIN_PASSWORD} or more")
    salt = secrets.token_bytes(16)  # bytes: as long as RFC 7914 recommends
    digest = _scrypt(password, salt=salt, ln=_LN, r=_R, p=_P)
    return f"$scrypt$ln={_LN},r={_R},p={_P}${_unpadded(salt)}${_unpadded(digest)}"


def is_password(password: str, made: str) -> bool:
    """Whether a hash is that of a password."""
    match = PASSWORD_HASH.fullmatch(made)
    if match is None or len(password) > _MAX_PASSWORD:
        return False
    ln, r, p, salt, digest = match.groups()
    found = _scrypt(password, salt=base64.b64decode(salt + "=="), ln=int(ln), r=int(r), p=int(p))
    return hmac.compare_digest(found, base64.b64decode(digest + "="))


def _scrypt(password: str, *, salt: bytes, ln: int, r: int, p: int) -> bytes:
    written = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")  # keyboards differ in accents
    needed = 128 * r * ((1 << ln) + p + 2)  # bytes, as the algorithm says
    return hashlib.scrypt(written, salt=salt, n=1 << ln, r=r, p=p, maxmem=2 * needed, dklen=32)


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


WINDOW: Final = timedelta(minutes=15)
"""For how long a wrong password counts. Chosen: as long as a person waits who has forgotten it."""
MAX_OWN_FAILURES: Final = 5
"""Of one address in that time. Chosen: more than a person needs who mistypes."""
MAX_FAILURES: Final = 100
"""Of all addresses in that time, 9,600 a day: half of a hundred million passwords takes 14 years."""
_MAX_KNOWN: Final = 1_000  # addresses that have logged in; chosen: more than a team has


class PasswordCheck:
    """Checks passwords, on threads of its own.

    An address is refused after some wrong ones, and all addresses together after more, save those that have logged in
    before: nobody can lock out the people who use the pages.
    """

    def __init__(self, made: str, *, clock: Clock) -> None:
        self._made = made
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque()
        self._known: dict[str, None] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._key = secrets.token_bytes(32)  # bytes: as long as the digest of SHA-256
        self._right = b""

    async def accepts(self, password: str, *, address: str) -> bool:
        """Return whether a password is right; raises HTTPException 429 after too many wrong ones."""
        attempt = self._begin(address)
        # Feed readers send the password each time: one that was right is recognised without the slow hash.
        quick = hmac.digest(self._key, password.encode("utf-8", "surrogatepass"), "sha256")
        if not hmac.compare_digest(quick, self._right):
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(self._threads, is_password, password, self._made):
                log.warning("web.wrong_password", address=address)
                return False
        self._right = quick
        with contextlib.suppress(ValueError):  # the hash took so long that it counts no longer
            self._failed.remove(attempt)
        self._remember(address)
        return True

    def _begin(self, address: str) -> tuple[float, str]:
        """Count an attempt as failed until it has succeeded, so that many at once are counted, too."""
        now = self._clock.monotonic()
        while self._failed and self._failed[0][0] <= now - WINDOW.total_seconds():
            self._failed.popleft()
        own = [at for at, each in self._failed if each == address]
        if len(own) >= MAX_OWN_FAILURES:
            raise _too_many(own[0] - now + WINDOW.total_seconds())
        if len(self._failed) >= MAX_FAILURES and address not in self._known:
            raise _too_many(self._failed[0][0] - now + WINDOW.total_seconds())
        self._failed.append((now, address))
        return now, address

    def _remember(self, address: str) -> None:
        self._known.pop(address, None)
        self._known[address] = None
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]


def _too_many(wait_s: float) -> HTTPException:
    wait = int(wait_s) + 1
    message = f"too many wrong passwords: try again in {-(-wait // 60)} min"
    return HTTPException(429, message, {"Retry-After": str(wait)})
