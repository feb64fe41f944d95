"""
Secrets are taken out before anything leaves the process.

Two ways to know one: by what it looks like (`clew.sdk.secrets_known`) and by the name that it
stands under. Nearly no span holds either, so a packed span is first looked at as a whole
(`Redactor.is_clean`), and only what may hold something is searched, value by value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from itertools import chain
from operator import is_not
from typing import Any, Final

from clew.sdk.prescan import Prescan
from clew.sdk.secrets_known import LOCAL_PART, MAIL, NAMED, NAMES, RULES, Hint, Rule

MAX_DEPTH: Final = 100
MOST_NAMES: Final = 10_000
"""So many names are remembered as secret or not; a program that has more makes them up."""

_LEAST: Final = 5
"""Shorter text holds no secret that could be known by its looks."""
_FLAT: Final = frozenset({str, int, float, bool, type(None)})
_MAPPINGS: Final = {dict}
_BYTES: Final = (bytes, bytearray, memoryview)
_GLUED: Final = ("password", "passwd", "passphrase", "apikey", "secretkey", "accesstoken", "authtoken")
"""Ends that need no _ before them: PGPASSWORD, dbpassword."""
_CONSTANTS: Final = frozenset({"none", "null", "true", "false", "undefined"})


class Redactor:
    """Finds secrets by looks and by name. What is clean comes back as the same object."""

    def __init__(self, *, looks: bool = True, names: Iterable[str] = ()) -> None:
        """Take the built-in patterns (*looks*) and names, and more *names* whose values are secret."""
        self.looks = looks
        self.names = frozenset(plain_name(name) for name in (*NAMES, *names))
        self._prescan = Prescan(self.names)
        self._secret: dict[str, bool] = {}
        self._harmless: set[str] = set()
        self._most_words = max(name.count("_") + 1 for name in self.names)

    def __call__(self, value: Any) -> Any:
        """Give *value* (plain: text, numbers, bytes, lists, mappings) without its secrets."""
        return self._clean(value, 0)

    def is_clean(self, packed: bytes, *values: Any) -> bool:
        """Say whether *packed*, which holds *values*, needs no search: quick, and wrong only in saying no."""
        if self.looks and self._prescan(packed):
            return False
        return not any(map(self._may_name_one, values))

    def text(self, text: str) -> str:
        """Give *text* without what looks like a secret."""
        if len(text) < _LEAST or not self.looks:
            return text
        hints = self._prescan.hints(text.encode("utf-8", "replace"))
        if not hints:
            return text
        cleaned = text
        for rule in RULES:
            if hints & rule.needs:
                cleaned = rule.pattern.sub(partial(_replaced, rule), cleaned)
        if hints & Hint.AT:
            cleaned = _without_mail(_without_mail(cleaned, "@"), "%40")
        if hints & Hint.NAMED:
            cleaned = NAMED.sub(self._named, cleaned)
        return text if cleaned == text else cleaned

    def is_secret(self, name: str) -> bool:
        """Whether what stands under *name* is a secret: `db.password`, `X-Api-Key`, `userToken`."""
        known = self._secret.get(name)
        if known is None:
            known = self._judge(name)
            if len(self._secret) < MOST_NAMES and len(name) < 200:
                self._secret[name] = known
                if not known:
                    self._harmless.add(name)
        return known

    def _judge(self, name: str) -> bool:
        plain = plain_name(name)
        parts = plain.split("_")
        if name.startswith("clew."):
            return False  # Our own, such as `clew.tokens`.
        ends = ("_".join(parts[-last:]) for last in range(1, self._most_words + 1))
        return plain.endswith(_GLUED) or any(end in self.names for end in ends)

    def _may_name_one(self, value: Any) -> bool:
        """Whether something stands under a secret's name, or is bytes; mappings in a list are seen at once, in C."""
        kind = type(value)
        if kind is dict:
            return self._may_name(value.keys(), value.values(), (value,))
        if kind is not list and kind is not tuple:
            return kind not in _FLAT
        if self._is_pair(value):
            return True
        kinds = {*map(type, value)}
        if kinds != _MAPPINGS:
            return not kinds <= _FLAT and any(map(self._may_name_one, value))
        return self._may_name(set().union(*value), [*chain.from_iterable(map(dict.values, value))], value)

    def _may_name(self, names: Any, values: Any, mappings: Iterable[dict[str, Any]]) -> bool:
        """The same for all names and values of *mappings*."""
        if not names <= self._harmless and any(map(self.is_secret, names)):
            return True
        if "value" in names and any(map(self._names_its_value, mappings)):
            return True
        if {*map(type, values)} <= _FLAT:
            return False
        nested = [each for each in values if type(each) not in _FLAT]
        return self._may_name_one(nested[0] if len(nested) == 1 else nested)

    def _is_pair(self, value: Any) -> bool:
        """Whether it is a header as a pair: a secret's name and something."""
        return len(value) == 2 and type(value[0]) is str and self.is_secret(value[0])

    # The search, value by value.

    def _clean(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind in _BYTES:
            return f"<{len(value)} bytes>"
        if kind is dict or kind is list or kind is tuple:
            if depth > MAX_DEPTH:
                return "[redacted: nested too deep to be searched]"
            return self._clean_mapping(value, depth) if kind is dict else self._clean_list(value, depth)
        return value

    def _clean_list(self, value: Any, depth: int) -> Any:
        if self._is_pair(value):
            return [value[0], self._under(value[0], value[1], depth)]
        cleaned = [self._clean(each, depth + 1) for each in value]
        return cleaned if any(map(is_not, cleaned, value)) else value

    def _clean_mapping(self, mapping: dict[Any, Any], depth: int) -> dict[Any, Any]:
        named = self._names_its_value(mapping)
        cleaned: dict[Any, Any] = {}
        changed = False
        for name, value in mapping.items():
            new_name = self.text(name) if type(name) is str else name
            of = named if named and name == "value" else name
            new = self._under(of, value, depth)
            changed = changed or new is not value or new_name is not name
            cleaned[new_name] = new
        return cleaned if changed else mapping

    def _names_its_value(self, mapping: dict[Any, Any]) -> str:
        """The secret's name in `{"name": "Authorization", "value": "..."}`, else ""."""
        for key in ("name", "key") if "value" in mapping else ():
            name = mapping.get(key)
            if type(name) is str and self.is_secret(name):
                return name
        return ""

    def _under(self, name: Any, value: Any, depth: int) -> Any:
        if type(name) is str and self.is_secret(name) and _is_told(plain_name(name), value):
            return f"[redacted: {self.text(name[:100])}]"
        return self._clean(value, depth + 1)

    def _named(self, found: re.Match[str]) -> str:
        """A value that stands in a text after its name: JSON, a query, an environment."""
        group = found.lastgroup if found.lastgroup != "after" else "bare"
        value = found[group or "bare"]
        name = found["name"]
        if not value or value.startswith("[redacted") or not self.is_secret(name):
            return found[0]
        if group == "bare" and not _is_set_bare(found, value):
            return found[0]
        if plain_name(name) == "token" and not _is_told("token", value):
            return found[0]
        start, end = (at - found.start() for at in found.span(group or "bare"))
        return f"{found[0][:start]}[redacted: {name}]{found[0][end:]}"


def _is_told(name: str, value: Any) -> bool:
    """Whether *value* under the secret *name* tells something: nothing and yes or no do not."""
    if not value or isinstance(value, bool):
        return False
    if name.endswith("token") and isinstance(value, (int, float)):
        return False  # A count, or a price by the token.
    if name == "token":
        # Also what a tokenizer makes: short words, and mappings with an id.
        return not isinstance(value, dict) and (not isinstance(value, str) or _is_random(value))
    return True


def _is_random(value: str) -> bool:
    return len(value) >= 6 and " " not in value and (len(value) >= 20 or re.search(r"[0-9]", value) is not None)


def _is_set_bare(found: re.Match[str], value: str) -> bool:
    """Whether `name=value` without quotes sets something, as URLs and environments do; code is left alone."""
    if found["sep"] != "=" or found["after"] is None or value.lower() in _CONSTANTS:
        return False
    before = found.string[max(0, found.start() - 1) : found.start()]
    if before in ("?", "&", ";"):
        return True
    is_attribute = re.fullmatch(r"\w+\.[\w.]+", value) is not None
    return before in ("", " ", "\n", "\t", '"', "'") and len(value) >= 4 and not is_attribute


def _without_mail(text: str, sign: str) -> str:
    """Take mail addresses out, looking only around each *sign*: they are what texts hold most often."""
    parts, done = [], 0
    at = text.find(sign)
    while at >= 0:
        before = LOCAL_PART.search(text[max(done, at - 66) : at])
        found = MAIL.pattern.match(text, at - len(before[0])) if before else None
        if found is not None and found.start() >= done:
            parts += [text[done : found.start()], _replaced(MAIL, found)]
            done = found.end()
        at = text.find(sign, max(at + 1, done))
    return "".join((*parts, text[done:])) if parts else text


def _replaced(rule: Rule, found: re.Match[str]) -> str:
    text = found[0]
    if rule.check is not None and not rule.check(text):
        return text
    redacted = f"[redacted: {rule.what}]"
    if "value" not in rule.pattern.groupindex:
        return redacted
    return text[: found.start("value") - found.start()] + redacted


def plain_name(name: str) -> str:
    """`X-Api-Key`, `x.api.key` and `xApiKey` are one name."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[-200:])
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
