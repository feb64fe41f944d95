"""
What secrets look like, and the names that they stand under.

Each pattern is linear in its text: it begins where a word begins, and what repeats has a bound or
excludes what follows it. What looks alike and is none (a class in a style sheet, `Basic training`,
a time in nanoseconds, `git@github.com:`, `icon@2x.png`) is sorted out by the rule's check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntFlag, auto
from typing import Final, NamedTuple


class Hint(IntFlag):
    """What was seen at the first look, and which rules it is a reason to try: `clew.sdk.prescan`."""

    AT = auto()
    KEY = auto()
    SCHEME = auto()
    CARD = auto()
    HEADER = auto()
    NAMED = auto()
    CUT = auto()


class Rule(NamedTuple):
    """What a secret looks like."""

    what: str
    needs: Hint
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


KEYS: Final = (
    r"sk-[A-Za-z0-9_-]{16,}|[sr]k_live_[A-Za-z0-9]{16,}|pk-lf-[A-Za-z0-9-]{16,}"
    r"|clew_[a-z]+_[A-Za-z0-9_-]{16,}|lsv2_[a-z]{2}_[A-Za-z0-9_]{16,}|gh[oprsu]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{14,}"
    r"|A[KS]IA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}"
    r"|pypi-[A-Za-z0-9_-]{30,}|SG\.[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{16,}"
)
"""Keys of known services. Each has a run of at least `LEAST_RUN` letters, digits, - and _."""
JWT: Final = r"eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}"
LEAST_RUN: Final = 19
_START: Final = r"(?<![A-Za-z0-9_-])"
_KEY_HEADS: Final = r"sk-|[sr]k_live_|clew_[a-z]+_|lsv2_|gh[oprsu]_|github_pat_|glpat-|A[KS]IA|AIza|hf_|eyJ"

CARD: Final = (
    r"(?:\d{14,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})"  # the ways they are grouped
)


def passes_luhn(text: str) -> bool:
    """
    Say whether the digits of *text* pass the checksum of payment cards.

    Source: ISO/IEC 7812-1, annex B.
    """
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


_ISSUERS: Final = re.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12,15}|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}"
)
"""Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay; times and most ids begin otherwise."""


def is_card(text: str) -> bool:
    """Whether it is the number of a payment card: an issuer's, and the checksum holds."""
    digits = re.sub(r"\D", "", text)
    return _ISSUERS.fullmatch(digits) is not None and len(set(digits)) > 1 and passes_luhn(digits)


def _is_random(text: str) -> bool:
    """Not words joined by hyphens: it has a digit, a capital, or a very long word."""
    body = text[3:]
    return bool(re.search(r"[0-9A-Z]|[a-z]{16}", body))


def _is_credential(text: str) -> bool:
    """Of what follows `Basic` or `Bearer`: not a word of the language."""
    token = text.partition(" ")[2]
    return bool(re.search(r"[0-9=]|[a-z][A-Z]", token)) or (len(token) >= 24 and "-" not in token)


_PICTURES: Final = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".css", ".js")


def _is_mail(text: str) -> bool:
    return not text.startswith("git@") and not text.lower().endswith(_PICTURES)


def _is_header(text: str) -> bool:
    """Whether what stands in a header's place is no prose."""
    value = text.replace(":", " ").split()[-1]
    return bool(re.search(r"[0-9=_+/]", value))


MAIL: Final = Rule(
    "mail address",
    Hint.AT,
    re.compile(
        r"(?<![\w.%+-])(?!(?<=\\)[nrt]@)"  # no decorator after a line break that is written as \n
        r"[\w.%+-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w(]|:[A-Za-z0-9_-]{1,100}/)"
    ),
    _is_mail,
)
LOCAL_PART: Final = re.compile(r"[\w.%+-]{1,65}\Z")
"""What stands before the @; one longer is no mail address."""

RULES: Final = (
    Rule(
        "private key",
        Hint.KEY,
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.S),
    ),
    Rule("key", Hint.KEY, re.compile(f"{_START}(?:{KEYS})"), _is_random),
    Rule("token", Hint.KEY, re.compile(_START + JWT)),
    # The beginning of one, at a place where the text was cut; what a rule above has left there is no such place.
    Rule("key", Hint.CUT, re.compile(rf"{_START}(?:{_KEY_HEADS})[A-Za-z0-9_.-]{{0,300}}(?=… \[(?!redacted: ))")),
    Rule(
        "token", Hint.KEY | Hint.SCHEME, re.compile(r"(?i:\b(?:bearer|basic) )[A-Za-z0-9+/._~=-]{12,}"), _is_credential
    ),
    Rule("password", Hint.AT, re.compile(r"(?<=://)[^\s/@:?#]{0,200}:[^\s/?#]{1,200}(?=@)")),
    Rule("card number", Hint.CARD, re.compile(rf"(?<!\w)(?<!\d[.-]){CARD}(?!\w|[.-]\d)"), is_card),
    Rule(
        "header",
        Hint.HEADER,
        re.compile(
            r"(?i)(?<![\w-])(?:(?:[a-z]{1,20}-){1,4}(?:key|token|secret)|(?:proxy-)?authorization) ?: ?"
            r"(?P<value>(?:[a-z-]{1,20} )?[^\s\"',;]{6,})"
        ),
        _is_header,
    ),
    Rule(
        "cookie",
        Hint.HEADER,
        re.compile(r"(?i)(?<![\w-])(?:set-)?cookie: ?(?P<value>[^\s=;,\"'\[]{1,100}=[^\r\n\"']+)"),
    ),
)

NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "client_secret",
    "api_key",
    "apikey",
    "x_api_key",
    "access_key",
    "secret_key",
    "secret_access_key",
    "signing_key",
    "encryption_key",
    "private_key",
    "access_token",
    "refresh_token",
    "id_token",
    "auth_token",
    "session_token",
    "bearer_token",
    "token",
    "authorization",
    "proxy_authorization",
    "cookie",
    "set_cookie",
    "cookies",
    "credential",
    "credentials",
)
"""Names under which a secret stands: alone, or as the last part of a longer name."""

NAMED: Final = re.compile(
    r"(?P<name>(?<![\w.-])[\w.-]{2,100})"
    # `"password": ` (also where the JSON stands in a string of JSON), and `password=`
    r"(?P<sep>\\{0,3}[\"']\s{0,3}:\s{0,3}|\s{0,2}=\s{0,2})"
    r"(?:\"(?P<double>[^\"\\\n]*(?:\\.[^\"\\\n]*)*)|'(?P<single>[^'\\\n]*(?:\\.[^'\\\n]*)*)"
    r"|\\{1,3}[\"'](?P<escaped>[^\"'\\\n]+)|(?P<bare>[^\s&;,\"'`()<>\[\]{}$]+)(?=(?P<after>[\s&;\"'`]|\Z)?))"
)
"""A name with a value in a text. Whether the name is a secret's is for the caller to say."""
