from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lateen.kube import quantity

CANONICAL = {
    "0.5": "500m", "1024Mi": "1Gi", "1000Mi": "1000Mi", "1000": "1k", "1e3": "1e3", "100m": "100m", "1000m": "1", "0": "0",
    "0.5Gi": "512Mi", "0.5Ki": "512", "1.5": "1500m", "-1500m": "-1500m", "0.1n": "1n", "1500000k": "1500M",
}  # fmt: skip


@pytest.mark.parametrize(("text", "form"), list(CANONICAL.items()))
def test_canonical_form(text: str, form: str) -> None:
    assert quantity.canonical(text) == form


@pytest.mark.parametrize("text", ["", "x", "1KiB", "1 Gi", "--1", "1e", ".", "1,5"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError):
        quantity.canonical(text)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "e3"]))
def test_canonical_keeps_the_value_and_is_stable(number: int, unit: str) -> None:
    form = quantity.canonical(f"{number}{unit}")
    assert quantity.parse(form) == quantity.parse(f"{number}{unit}")
    assert quantity.canonical(form) == form


def test_amounts_round_up() -> None:
    assert (quantity.milli("0.0001"), quantity.whole("1.1"), quantity.whole("1Ki")) == (1, 2, 1024)


@pytest.mark.parametrize("text", ["1e999999999", "1E-999999999", "1e65"])
def test_absurd_exponents_are_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        quantity.parse(text)
