"""Keypoint sets as JSON holds them: by name, or whole where they are a user's own."""

from __future__ import annotations

from typing import Any

from lpn_core._json import is_text
from lpn_core.keypoints import KEYPOINT_SETS, KeypointSet, get

_FIELDS = ("name", "names", "skeleton", "mirror_pairs", "sigmas")


def dump_keypoints(entry: KeypointSet) -> str | dict[str, Any]:
    """A keypoint set as JSON holds it: the name of one that is known here, else all of it."""
    if KEYPOINT_SETS.get(entry.name) == entry:
        return entry.name
    return {
        "name": entry.name,
        "names": list(entry.names),
        "skeleton": [list(pair) for pair in entry.skeleton],
        "mirror_pairs": [list(pair) for pair in entry.mirror_pairs],
        "sigmas": None if entry.sigmas is None else list(entry.sigmas),
    }


def load_keypoints(value: object) -> KeypointSet:
    """What :func:`dump_keypoints` gave.

    Raises:
        ValueError: no name of a known set and no description of one; the message names the field.
    """
    if isinstance(value, str):
        return get(value)
    if not isinstance(value, dict) or set(value) != set(_FIELDS):
        raise ValueError(
            f"keypoints: wanted the name of a keypoint set, or an object of {', '.join(_FIELDS)}"
        )
    name, names, sigmas = value["name"], value["names"], value["sigmas"]
    if not _is_name(name) or name in KEYPOINT_SETS:
        other = f"; {name!r} is another set" if _is_name(name) else ""
        raise ValueError(f"keypoints.name: wanted a name of its own{other}")
    if not (isinstance(names, list) and names and all(map(_is_name, names))):
        raise ValueError("keypoints.names: wanted a list of the joints' names")
    if len(set(names)) != len(names):
        raise ValueError("keypoints.names: wanted each name once")
    pairs = {}
    for key in ("skeleton", "mirror_pairs"):
        pairs[key] = value[key]
        if not isinstance(pairs[key], list) or not all(_is_pair(p, len(names)) for p in pairs[key]):
            raise ValueError(
                f"keypoints.{key}: wanted pairs of different joints from 0 to {len(names) - 1}"
            )
    mirrored = [joint for pair in pairs["mirror_pairs"] for joint in pair]
    if len(set(mirrored)) != len(mirrored):
        raise ValueError("keypoints.mirror_pairs: wanted each joint in one pair at most")
    if sigmas is not None and not (
        isinstance(sigmas, list) and len(sigmas) == len(names) and all(map(_is_sigma, sigmas))
    ):
        raise ValueError(f"keypoints.sigmas: wanted null, or {len(names)} numbers from 1e-3 to 10")
    return KeypointSet(
        name=name,
        names=tuple(names),
        skeleton=tuple((a, b) for a, b in pairs["skeleton"]),
        mirror_pairs=tuple((a, b) for a, b in pairs["mirror_pairs"]),
        sigmas=None if sigmas is None else tuple(map(float, sigmas)),
    )


def _is_name(value: object) -> bool:
    return is_text(value) and bool(value)


def _is_pair(value: object, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(joint) is int and 0 <= joint < count for joint in value)
        and value[0] != value[1]
    )


def _is_sigma(value: object) -> bool:
    return type(value) in (int, float) and 1e-3 <= value <= 10  # type: ignore[operator]
