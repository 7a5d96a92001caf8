"""Which content codings a client takes, the best first (RFC 9110, 12.5.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ("NAMES", "acceptable", "names_of")

#: The codings that are known, in the order of preference between equals.
NAMES = ("zstd", "br", "gzip")


def names_of(setting: Any) -> tuple[str, ...]:
    """Return the codings that a setting names: True is all, a text may name several.

    Raises ValueError for a coding that is not known.
    """
    if setting is True:
        return NAMES
    if isinstance(setting, str):
        setting = setting.split(",")
    names = tuple(str(name).strip() for name in setting or ())
    for name in names:
        if name not in NAMES:
            raise ValueError(f"{name!r} is none of the content codings {', '.join(NAMES)}.")
    return names


def acceptable(elements: Iterable[Any], offered: Iterable[str]) -> tuple[list[str], bool]:
    """Return those of `offered` that the client takes, the best first, and whether plain will do.

    Args:
        elements: of Accept-Encoding; none of them means the plain body.
        offered: with the favourite first, for codings that the client likes equally.

    What it likes less than the plain body is left out.
    """
    weights: dict[str, float] = {}
    for element in elements:
        coding = element.value.lower()
        if coding == "x-gzip":  # RFC 9110, 8.4.1.3
            coding = "gzip"
        weights[coding] = max(weights.get(coding, 0.0), element.qvalue)
    other = weights.get("*")
    plain = weights.get("identity", other if other == 0.0 else None)
    liked = {name: weights.get(name, other or 0.0) for name in offered}
    taken = [name for name, weight in liked.items() if weight and weight >= (plain or 0.0)]
    return sorted(taken, key=lambda name: -liked[name]), plain != 0.0
