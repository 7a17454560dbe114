"""Frozen dataclasses that are quick to define, for what every program imports.

``dataclasses.dataclass`` compiles methods for each class, half a millisecond of its import. These
share theirs, which go over the fields in a loop. What else a dataclass has is taken, when somebody
asks for it, from a twin that ``dataclasses`` makes of the same fields: ``replace``, ``asdict``,
``fields`` and ``inspect.signature`` tell no difference, and type checkers see the original.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

__all__ = ["dataclass", "field"]

_Class = TypeVar("_Class", bound=type)


class _Factory:
    """What stands for the default of a field: a call that makes one for each instance."""

    def __init__(self, *, default_factory: Callable[[], object]) -> None:
        self.make = default_factory


class _Lazily:
    """An attribute of a class and its instances that is found when it is asked for."""

    def __init__(self, find: Callable[[], object]) -> None:
        self._find = find

    def __get__(self, instance: object, owner: type) -> object:
        return self._find()


def _make_twin(
    cls: type, names: tuple[str, ...], defaults: dict[str, Any], kw_only: bool, eq: bool
) -> type:
    import dataclasses

    def default(name: str) -> Any:
        value = defaults.get(name, dataclasses.MISSING)
        if isinstance(value, _Factory):
            return dataclasses.field(default_factory=value.make)
        return dataclasses.field(default=value)

    fields = [(name, cls.__annotations__[name], default(name)) for name in names]
    return dataclasses.make_dataclass(cls.__name__, fields, frozen=True, kw_only=kw_only, eq=eq)


def _dataclass(
    *, frozen: bool, kw_only: bool = False, eq: bool = True
) -> Callable[[_Class], _Class]:
    """``dataclasses.dataclass`` of frozen classes without bases."""
    assert frozen

    def decorate(cls: _Class) -> _Class:
        own = vars(cls)
        names = tuple(cls.__annotations__)
        known = frozenset(names)
        defaults = {name: own[name] for name in names if name in own}
        positional = () if kw_only else names
        finish = own.get("__post_init__")

        @lru_cache
        def twin() -> Any:
            return _make_twin(cls, names, defaults, kw_only, eq)

        def refuse(name: str, what: str) -> NoReturn:
            from dataclasses import FrozenInstanceError

            raise FrozenInstanceError(f"cannot {what} field {name!r}")

        def init(self: Any, *values: object, **named: object) -> None:
            given = {**defaults, **dict(zip(positional, values, strict=False)), **named}
            if (
                len(given) != len(names)
                or len(values) > len(positional)
                or not named.keys() <= known.difference(positional[: len(values)])
            ):
                twin()(*values, **named)  # raises what names the mistake
            vars(self).update(
                (name, value.make() if isinstance(value, _Factory) else value)
                for name, value in given.items()
            )
            if finish is not None:
                finish(self)

        def assign(self: object, name: str, value: object) -> None:
            if type(self) is cls or name in known:
                refuse(name, "assign to")
            object.__setattr__(self, name, value)

        def delete(self: object, name: str) -> None:
            if type(self) is cls or name in known:
                refuse(name, "delete")
            object.__delattr__(self, name)

        def values_of(self: object) -> tuple[object, ...]:
            return tuple(getattr(self, name) for name in names)

        def represent(self: object) -> str:
            fields = (f"{name}={getattr(self, name)!r}" for name in names)
            return f"{type(self).__qualname__}({', '.join(fields)})"

        def equal(self: object, other: object) -> Any:
            return (
                values_of(self) == values_of(other) if type(other) is type(self) else NotImplemented
            )

        def hashed(self: object) -> int:
            return hash(values_of(self))

        def replaced(self: Any, **changes: object) -> Any:
            import dataclasses

            return dataclasses.replace(self, **changes)

        def signature() -> object:
            import inspect

            return inspect.signature(twin())

        methods: dict[str, object] = {
            "__init__": init,
            "__setattr__": assign,
            "__delattr__": delete,
            "__replace__": replaced,
            "__match_args__": positional,
            "__signature__": _Lazily(signature),
            "__dataclass_fields__": _Lazily(lambda: twin().__dataclass_fields__),
            "__dataclass_params__": _Lazily(lambda: twin().__dataclass_params__),
        }
        if "__repr__" not in own:
            methods["__repr__"] = represent
        if eq:
            methods |= {"__eq__": equal, "__hash__": hashed}
        for name, value in defaults.items():
            if isinstance(value, _Factory):
                delattr(cls, name)
        for name, method in methods.items():
            setattr(cls, name, method)
        return cls

    return decorate


if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:
    dataclass, field = _dataclass, _Factory
