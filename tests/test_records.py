"""Our quickly defined dataclasses against the standard library's of the same fields."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from lpn_core import _records


def _make(module: Any) -> SimpleNamespace:
    """Three classes, whose decorators are the standard library's or ours."""

    @module.dataclass(frozen=True)
    class Node:
        kind: str
        size: int = 3
        attributes: Mapping[str, int] = module.field(default_factory=dict)

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("a negative size")

    @module.dataclass(frozen=True, kw_only=True)
    class Spec:
        order: str
        mean: tuple[float, ...] = (0.5, 0.25)

    @module.dataclass(frozen=True, eq=False)
    class Named:
        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

    return SimpleNamespace(Node=Node, Spec=Spec, Named=Named)


THEIRS = _make(dataclasses)
OURS = _make(_records)


@_records.dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


def _result(call: Any) -> tuple[type, str]:
    """What a call gives, or what it raises."""
    try:
        value = call()
    except Exception as error:
        return type(error), str(error)
    return type(None), repr(value)


CALLS = {
    "values": lambda c: (c.Node("conv", 1, {"a": 1}), c.Spec(order="rgb"), c.Named("n")),
    "names": lambda c: (c.Node(size=2, kind="add"), c.Named(name="n")),
    "defaults": lambda c: c.Node("conv").attributes,
    "none": lambda c: c.Node(),
    "too many": lambda c: c.Node("conv", 1, {}, 5),
    "twice": lambda c: c.Node("conv", kind="add"),
    "unknown": lambda c: c.Node("conv", colour=1),
    "unknown and missing": lambda c: c.Node(colour=1),
    "by position": lambda c: c.Spec("rgb"),
    "keyword missing": lambda c: c.Spec(mean=()),
    "refused": lambda c: c.Node("conv", -1),
    "assigned": lambda c: setattr(c.Node("conv"), "size", 4),
    "added": lambda c: setattr(c.Node("conv"), "colour", 4),
    "deleted": lambda c: delattr(c.Node("conv"), "size"),
    "equal": lambda c: (
        c.Node("conv") == c.Node("conv", 3),
        c.Node("conv") == c.Node("add"),
        c.Node("conv") == "conv",
        c.Named("n") == c.Named("n"),
        c.Spec(order="rgb") != c.Spec(order="bgr"),
    ),
    "hash": lambda c: hash(c.Spec(order="rgb")) == hash(c.Spec(order="rgb", mean=(0.5, 0.25))),
    "no hash": lambda c: hash(c.Node("conv")),
    "replaced": lambda c: dataclasses.replace(c.Spec(order="rgb"), order="bgr"),
    "replaced badly": lambda c: dataclasses.replace(c.Spec(order="rgb"), colour=1),
    "as dict": lambda c: dataclasses.asdict(c.Node("conv", 1, {"a": 1})),
    "fields": lambda c: [
        (field.name, field.type, field.kw_only, field.default)
        for field in dataclasses.fields(c.Spec)
    ],
    "is one": lambda c: (
        dataclasses.is_dataclass(c.Node),
        dataclasses.is_dataclass(c.Node("conv")),
    ),
    "signature": lambda c: [inspect.signature(c) for c in (c.Node, c.Spec, c.Named)],
    "patterns": lambda c: (c.Node.__match_args__, c.Spec.__match_args__),
    "class attributes": lambda c: (c.Node.size, hasattr(c.Node, "attributes")),
}


@pytest.mark.parametrize("what", CALLS)
def test_same_as_the_standard_library(what: str) -> None:
    kind, text = _result(lambda: CALLS[what](THEIRS))
    if kind is not type(None):
        assert issubclass(kind, Exception)
    own_kind, own_text = _result(lambda: CALLS[what](OURS))
    assert (own_kind, own_text.replace("_make.<locals>.", "")) == (
        kind,
        text.replace("_make.<locals>.", ""),
    )


def test_defaults_that_are_made_are_not_shared() -> None:
    node = OURS.Node
    assert node("a").attributes is not node("b").attributes


def test_copies_and_pickles_are_equal() -> None:
    point = Point(1.0)
    for other in (pickle.loads(pickle.dumps(point)), copy.copy(point), copy.deepcopy(point)):
        assert other == point
        assert repr(other) == "Point(x=1.0, y=0.0)"
    assert point.__replace__(y=2.0) == Point(1.0, 2.0)  # type: ignore[attr-defined]


def test_subclass_may_add_attributes_but_not_assign_fields() -> None:
    class Named(Point):
        pass

    point = Named(1.0)
    point.name = "p"  # type: ignore[attr-defined]
    del point.name  # type: ignore[attr-defined]
    for change in (lambda: setattr(point, "x", 2.0), lambda: delattr(point, "x")):
        with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
            change()
