"""Mutations of a model file that keep most of its structure: container, header, document."""

from __future__ import annotations

import json
from random import Random
from typing import Any

# What the generator's own bounds, JSON's corners and the types of Python and C make interesting.
NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 4, 16, 17, 255, 4096, 4097, 1 << 20, (1 << 20) + 1),
    *((1 << 31) - 1, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63)),
    *(10**30, 10**300, 10**400, -(10**400), 10**4299),
    *(0.0, -0.0, 0.5, 1.5, 5e-324, 1e-300, 1e-38, 1e-6, 1e6, 1e38, 3.5e38, 1e300, 1.7e308),
    *(float("nan"), float("inf"), float("-inf"), True, False),
)
STRINGS = (
    *("", "0", "1.5", "nan", "\ud800", "x\udfff", "\0", "\x1b[2J", "é", "\U0001f600", "a" * 3000),
    *("image", "head", "weight", "bias", "self_test", "crops", "self_test.crops", "__metadata__"),
    *("conv2d", "conv_transpose2d", "max_pool2d", "add", "gc_block", "se_block", "relu", "bgr"),
    *("F32", "BF16", "U8", "I8", "F64", "BOOL", "soft_argmax", "argmax", "coco17", "mpii16"),
    *("weight_scale", "scale", "zero_point", "quantization"),
)
TOKENS = (
    *('"', ",", ":", "{", "}", "[", "]", "\\", "\\ud800", "\\u0000", "null", "true", "NaN"),
    *("-Infinity", "1e999", "-", "9" * 400, "9" * 5000, "[" * 900, "[" * 100_000, '{"a":' * 400),
)


def mutate(content: bytes, generator: Random) -> bytes:
    """One mutation; ``content`` need not be a sound file."""
    try:
        return _mutate(content, generator)
    except RecursionError:
        return _mutate_bytes(content, generator)


def _mutate(content: bytes, generator: Random) -> bytes:
    size = int.from_bytes(content[:8], "little")
    choice = generator.random()
    if choice < 0.03 or not 0 < size <= len(content) - 8:
        return _mutate_bytes(content, generator)
    header, data = content[8 : 8 + size], content[8 + size :]
    if choice < 0.06:
        return _join(header, _mutate_bytes(data, generator))
    if choice < 0.12:
        text = header.decode("utf-8", "replace")
        return _join(_encode(_mutate_text(text, generator)), data)
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError):
        return _mutate_bytes(content, generator)
    if isinstance(fields, dict) and choice < 0.9:
        _mutate_document(fields, generator)
    else:
        fields = _mutate_tree(fields, generator)
    return _join(_encode(_dump(fields, generator)), data)


def _mutate_document(fields: dict[str, Any], generator: Random) -> None:
    metadata = fields.get("__metadata__")
    text = metadata.get("lpn_core") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return
    if generator.random() < 0.1:
        metadata["lpn_core"] = _mutate_text(text, generator)
        return
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        metadata["lpn_core"] = _mutate_text(text, generator)
        return
    document = _mutate_tree(document, generator)
    if generator.random() < 0.2:
        _rename_weights(fields, document, generator)
    metadata["lpn_core"] = _dump(document, generator)


def _rename_weights(fields: dict[str, Any], document: Any, generator: Random) -> None:
    """Gives the tensors the names that a mutated graph asks for, so that it gets past that."""
    try:
        nodes = document["graph"]["nodes"]
        wanted = {f"{node['name']}.{weight}" for node in nodes for weight in node["weights"]}
    except (TypeError, KeyError):
        return
    left_over = sorted(set(fields) - wanted - {"__metadata__", "self_test.crops"})
    for name in sorted(wanted - set(fields)):
        if left_over:
            fields[name] = fields.pop(left_over.pop(generator.randrange(len(left_over))))


def _mutate_tree(tree: Any, generator: Random) -> Any:
    """Changes one value somewhere below; the depth is as likely as the branches are wide."""
    root = [tree]
    parent: Any = root
    key: Any = 0
    while isinstance(parent[key], dict | list) and parent[key] and generator.random() < 0.9:
        parent = parent[key]
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        key = generator.choice(keys)
    choice = generator.random()
    if choice < 0.12:
        del parent[key]
    elif choice < 0.2 and isinstance(parent, list):
        parent.insert(generator.randrange(len(parent) + 1), parent[key])
    elif choice < 0.25 and isinstance(parent, dict):
        parent[generator.choice(STRINGS)] = parent[key]
    elif choice < 0.3 and isinstance(parent, list):
        other = generator.randrange(len(parent))
        parent[key], parent[other] = parent[other], parent[key]
    elif choice < 0.33:
        parent[key] = _nest(parent[key], generator)
    elif choice < 0.6:
        parent[key] = _nudge(parent[key], generator)
    else:
        parent[key] = _value(generator)
    return root[0] if root else None


def _value(generator: Random) -> Any:
    choice = generator.random()
    if choice < 0.5:
        return generator.choice(NUMBERS)
    if choice < 0.8:
        return generator.choice(STRINGS)
    return generator.choice((None, [], {}, [[]], [0] * 40, {"": 0}, [None], [""]))


def _nudge(value: Any, generator: Random) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return _value(generator)
    if isinstance(value, int):
        value %= 1 << 64
        return generator.choice(
            (value + 1, value - 1, value * 2, -value, float(min(value, 1 << 60)), str(value))
        )
    if isinstance(value, float):
        return generator.choice((value * 2, -value, value * 1e30, value * 1e-30, str(value)))
    if isinstance(value, str):
        return generator.choice((value + generator.choice(STRINGS), value[:-1], value.upper()))
    return value[: generator.randrange(len(value) + 1)]


def _nest(value: Any, generator: Random) -> Any:
    for _ in range(generator.choice((1, 2, 40, 300))):
        value = [value]
    return value


def _mutate_text(text: str, generator: Random) -> str:
    start = generator.randrange(len(text) + 1)
    end = min(len(text), start + generator.choice((0, 1, 1, 8, 64)))
    choice = generator.random()
    if choice < 0.4:
        return text[:start] + generator.choice(TOKENS) + text[end:]
    if choice < 0.6:
        return text[:start] + text[end:]
    if choice < 0.8:
        return text[:end] + text[start:]
    return text[:start] + chr(generator.randrange(0x120)) + text[start + 1 :]


def _mutate_bytes(content: bytes, generator: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.choice((1, 2, 8))):
        if not changed:
            break
        position = generator.randrange(len(changed))
        choice = generator.random()
        if choice < 0.6:
            changed[position] = generator.randrange(256)
        elif choice < 0.8:
            del changed[position : position + generator.choice((1, 4, 100))]
        else:
            changed[position:position] = bytes(generator.choice((1, 8, 40)))
    return bytes(changed)


def _dump(tree: Any, generator: Random) -> str:
    return json.dumps(tree, ensure_ascii=generator.random() < 0.8)


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _join(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data
