from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lateen.kube import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns_label, ["a", "1a", "a-b", "a" * 63], ["", "A", "-a", "a.b", "a" * 64, "a\n"]),
        (names.dns_subdomain, ["a.b", "1.2", "a" * 253], ["a..b", ".a", "a_b", "a" * 254, "a\n"]),
        (names.dns_1035_label, ["a1"], ["1a", ""]),
        (names.label_value, ["", "A_b.c"], ["a b", "-", "é", "a" * 64]),
        (names.qualified_name, ["a", "x.io/A.b_c"], ["", "/a", "a/", "a/b/c", "X.io/a"]),
        (names.path_segment, ["system:x", "A b"], [".", "..", "a/b", "a%b"]),
        (names.config_key, ["a.b_c-D", ".a"], ["", ".", "..", "..a", "a b"]),
        (names.env_name, ["A", "a.b-c", "9 x"], ["", "A=B", "é", "a\t"]),
        (names.port_name, ["http", "a-1"], ["", "1", "-a", "a--b", "HTTP", "a" * 16]),
        (names.ip_address, ["127.64.0.1", "::1"], ["", "1.2.3", "01.2.3.4", "host"]),
    ],
)
def test_rules(check: names.Check, good: list[str], bad: list[str]) -> None:
    assert [g for g in good if check(g)] == []
    assert [b for b in bad if not check(b)] == []


def test_the_message_is_kubernetes_own_to_the_space() -> None:
    text = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
        "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )
    assert names.dns_label("A") == (text,)


@given(st.integers(0, 27**5 - 1), st.text("abc-", min_size=1, max_size=80))
def test_generated_names_are_labels_and_tell_numbers_apart(number: int, base: str) -> None:
    name = names.generated(base, number)
    assert len(name) <= names.LABEL_MAX
    assert name != names.generated(base, (number + 1) % 27**5)
    assert set(name[-5:]) <= set(names.SUFFIX_ALPHABET)
