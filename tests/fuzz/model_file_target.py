"""What is fuzzed: a model file's content goes all the way to joints."""

from __future__ import annotations

import contextlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from lpn_core import Model, ModelFile, ModelFileError, convert
from lpn_core.model import document, file, safetensors
from model_file_seeds import seeds
from mutate_model_file import mutate

MAX_SECONDS = 5.0
MAX_KIB = 1 << 20
# A network that is not small may take its time; what the engine does is fuzz_graph's.
_MAX_ATTRIBUTE = 16
_MAX_NODES = 12
_MAX_SIDE = 64
_MEMORY_LIMIT = 1 << 26


class _AnyDigest(str):
    """Equal to whatever a file says."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, _: object) -> bool:
        return True

    def __ne__(self, _: object) -> bool:
        return False


@contextlib.contextmanager
def any_checksum() -> Iterator[None]:
    """Every checksum is right: what lies behind that check is to be tested."""
    digest, crc32c = file._digest, file._crc32c
    file._digest = lambda *content: _AnyDigest(digest(*content))
    file._crc32c = lambda *content: _AnyDigest(crc32c(*content))
    try:
        yield
    finally:
        file._digest, file._crc32c = digest, crc32c


def execute(content: bytes) -> str:
    """Loads a file's content; "read", "compiled" or "run": how far it got, "" where it is refused.

    Any exception but the loader's own gets out, and so does whatever breaks the promise that a file
    which loads can be written, compiled and run.
    """
    try:
        found = file._decode(*safetensors._parse(memoryview(content)))
    except (ModelFileError, safetensors.SafetensorsError) as error:
        str(error).encode()
        return ""
    text = json.dumps(document.dump_document(found), ensure_ascii=False)
    again = document.load_document(text)
    assert again.graph == found.graph
    assert again.input == found.input
    assert again.quantization == found.quantization
    outcome = "run"
    for precision in ("fp32", "int8") if found.quantization else ("fp32",):
        try:
            compiled = Model(found, threads=1, memory_limit=_MEMORY_LIMIT, precision=precision)
        except ModelFileError as error:
            str(error).encode()
            return "read"
        if not _is_small(found):
            outcome = "compiled"
            continue
        with compiled:
            convert.self_test_error(compiled)
    return outcome


def _is_small(found: ModelFile) -> bool:
    values = [value for node in found.graph.nodes for value in node.attributes.values()]
    return (
        len(found.graph.nodes) <= _MAX_NODES
        and max(found.input.height, found.input.width) <= _MAX_SIDE
        and all(abs(value) <= _MAX_ATTRIBUTE for value in values if isinstance(value, int))
    )


def run_blindly(executions: int, seed: int, report: Callable[[str], object] = print) -> None:
    """Executes mutated seeds; a failure leaves its input beside the report of it."""
    generator = Random(seed)
    corpus = seeds()
    counts: dict[str, int] = {}
    peak = _peak_kib()
    for count in range(1, executions + 1):
        content = generator.choice(corpus)
        for _ in range(generator.choice((1, 1, 2, 4))):
            content = mutate(content, generator)
        start = time.process_time()
        try:
            outcome = execute(content)
            assert time.process_time() - start < MAX_SECONDS, "too slow"
        except Exception:
            path = Path(tempfile.gettempdir()) / f"crash-model-file-{seed}-{count}"
            path.write_bytes(content)
            report(f"execution {count} of seed {seed} failed; its input is {path}")
            raise
        counts[outcome] = counts.get(outcome, 0) + 1
        if count % 100_000 == 0 or count == executions:
            grown = _peak_kib() - peak
            report(f"{count} executions, {grown >> 10} MiB more, {counts}")
            assert grown < MAX_KIB, "too much memory"


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
