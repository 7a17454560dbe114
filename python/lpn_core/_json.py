"""JSON from files that anyone may have made."""

from __future__ import annotations

import json
from typing import Any


def load_unique(text: str) -> object:
    """Parses JSON in which no object has a key twice.

    Raises:
        ValueError: it is not (``json.JSONDecodeError`` says where), a key is there twice, or a
            number has more digits than Python takes.
        RecursionError: nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique_object)


def is_text(value: object) -> bool:
    """Whether this is a string that UTF-8 can hold: JSON can spell half a surrogate pair."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"it holds {name!r} twice in one object")
            seen.add(name)
    return result
