"""Numbers with their errors, as a report writes them."""

from __future__ import annotations

import math

import pytest

from driftax.report.numbers import interval, order, short, with_error


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (1.234e-3, 4e-5, "1.23(4)e-3"),
        (9.34e-3, 3e-4, "9.3(3)e-3"),
        (1.8e-2, 2e-5, "1.800(2)e-2"),
        (-3.1e-2, 1.1e-4, "-3.100(11)e-2"),
        (0.5, 0.01, "0.500(10)"),
        (12.345, 0.12, "12.35(12)"),
        (1234.0, 56.0, "1.23(6)e3"),
        (1e-4, 3e-3, "0(3)e-3"),
        (0.0, 2e-3, "0(2)e-3"),
        (2.5, 0.0, "2.5"),
        (math.nan, 1.0, "—"),
    ],
)
def test_with_error(value, error, said):
    assert with_error(value, error) == said


def test_orders_and_intervals():
    assert (order(None), order(math.nan), order(1.987)) == ("—", "—", "1.99")
    assert interval((1.0, 2.0)) == "[1.00, 2.00]"
    assert interval((None, 2.0)) == "(−∞, 2.00]" and interval((1.0, math.inf)) == "[1.00, ∞)"
    assert interval(None) == interval((None, None)) == "—"
    assert (short(1e-8), short(0.005), short(math.inf)) == ("1e-8", "0.005", "—")
