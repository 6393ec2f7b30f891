"""Kubernetes quantities as numbers, to compare sizes."""

from decimal import Decimal
from typing import Final

_SUFFIXES: Final = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}


def quantity(text: str) -> Decimal:
    """Read a quantity such as ``8Gi``, ``500m`` or ``1e9``.

    Raises:
        ValueError: it is none.
    """
    for suffix, factor in _SUFFIXES.items():
        # "1E" ends like an exponent without digits, "12E3" does not end with a suffix.
        if text.endswith(suffix):
            return _number(text.removesuffix(suffix), text) * factor
    return _number(text, text)


def _number(digits: str, text: str) -> Decimal:
    try:
        number = Decimal(digits)
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is no quantity") from error
    if not number.is_finite():
        raise ValueError(f"{text!r} is no quantity")
    return number
