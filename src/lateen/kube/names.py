"""Rules for names, labels, keys and ports, with the messages Kubernetes gives (apimachinery pkg/util/validation).

Every check returns the messages of what is wrong, an empty tuple when nothing is. Used by ``kube.validation`` and the API server.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

Messages = tuple[str, ...]
Check = Callable[[str], Messages]

LABEL_MAX, SUBDOMAIN_MAX, PORT_NAME_MAX = 63, 253, 15
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_KEY = "[-._a-zA-Z0-9]+"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_TEXT = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"

# What Kubernetes' generated names are made of: no vowels, no look-alikes.
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5


def too_long(limit: int) -> str:
    """The message for text over ``limit`` bytes."""
    return f"must be no more than {limit} bytes"


def _unlike(text: str, form: str, *examples: str) -> str:
    """Kubernetes' RegexError: its spacing is part of the message."""
    if not examples:
        return f"{text} (regex used for validation is '{form}')"
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{form}')"


def _check(form: str, limit: int, message: str) -> Check:
    fits = re.compile(form, re.ASCII).fullmatch

    @lru_cache(maxsize=4096)
    def check(text: str) -> Messages:
        long = (too_long(limit),) if len(text) > limit else ()
        return long if fits(text) else (*long, message)

    return check


dns_label = _check(_LABEL, LABEL_MAX, _unlike(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
dns_subdomain = _check(_SUBDOMAIN, SUBDOMAIN_MAX, _unlike(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
dns_1035_label = _check(_LABEL_1035, LABEL_MAX, _unlike(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
label_value = _check(_VALUE, LABEL_MAX, _unlike(_VALUE_TEXT, _VALUE, "MyValue", "my_value", "12345"))
_name_part = _check(_QUALIFIED, LABEL_MAX, _unlike(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc"))
_key_form = _check(_KEY, SUBDOMAIN_MAX, _unlike(_KEY_TEXT, _KEY, "key.name", "KEY_NAME", "key-name"))


@lru_cache(maxsize=4096)
def qualified_name(text: str) -> Messages:
    """A label or annotation key: ``name`` or ``example.com/name``."""
    prefix, slash, name = text.rpartition("/")
    if text.count("/") > 1:
        form = _unlike(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return (f"a qualified name {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    found: list[str] = []
    if slash:
        found += ["prefix part must be non-empty"] if not prefix else [f"prefix part {m}" for m in dns_subdomain(prefix)]
    if not name:
        found.append("name part must be non-empty")
    return (*found, *(f"name part {m}" for m in _name_part(name)))


def path_segment(text: str) -> Messages:
    """A name that must only be usable in a URL path (RBAC kinds)."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{c}'" for c in "/%" if c in text)


def config_key(text: str) -> Messages:
    """A key of a ConfigMap's or Secret's data: also a file name."""
    form = _key_form(text)
    if text in (".", ".."):
        return (*form, f"must not be '{text}'")
    return (*form, "must not start with '..'") if text.startswith("..") else form


def env_name(text: str) -> Messages:
    """The name of an environment variable."""
    if not text:
        return ("must be non-empty",)
    return () if all(" " <= c <= "~" and c != "=" for c in text) else (_ENV_TEXT,)


def port_name(text: str) -> Messages:
    """An IANA service name: the name of a container's port."""
    found = [too_long(PORT_NAME_MAX)] if len(text) > PORT_NAME_MAX else []
    if not re.fullmatch("[-a-z0-9]+", text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return tuple(found)


def port_number(port: int) -> Messages:
    """A TCP or UDP port."""
    return () if 1 <= port <= 65535 else ("must be between 1 and 65535, inclusive",)


def ip_address(text: str) -> Messages:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    return ()


def generated(base: str, number: int) -> str:
    """A name from ``generateName``. ``number`` is the randomness: any non-negative integer, best below 27 ** 5."""
    suffix = ""
    for _ in range(_SUFFIX_LENGTH):
        number, digit = divmod(number, len(SUFFIX_ALPHABET))
        suffix += SUFFIX_ALPHABET[digit]
    return base[: LABEL_MAX - _SUFFIX_LENGTH] + suffix


_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident


def safe_encode(digest: bytes) -> str:
    """Ten letters of a digest that fit in names and labels."""
    number, letters = int.from_bytes(digest[:6], "big"), []
    for _ in range(10):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)
