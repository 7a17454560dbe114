"""Fuzzes the loader of model files below their checksum. README.md says how to run it.

With atheris, libFuzzer drives it by coverage, and its options apply; without, seeds are mutated
blindly: ``fuzz_model_file.py [EXECUTIONS] [SEED]``.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from random import Random


def main() -> None:
    """Runs until stopped, or for as long as the command line says."""
    if importlib.util.find_spec("atheris"):
        _run_by_coverage()
        return
    from model_file_target import any_checksum, run_blindly

    arguments = [int(argument) for argument in sys.argv[1:]]
    executions, seed = [*arguments, *(100_000, 0)[len(arguments) :]]
    with any_checksum():
        run_blindly(executions, seed)


def _run_by_coverage() -> None:
    import atheris

    with atheris.instrument_imports(include=["lpn_core"]):
        from model_file_target import any_checksum, execute
    from model_file_seeds import seeds
    from mutate_model_file import mutate

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 8 == 0:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(data, Random(seed))[:max_size]

    def run(data: bytes) -> None:
        execute(bytes(data))

    corpus = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if corpus is None:
        corpus = tempfile.mkdtemp(prefix="model-file-corpus-")
        sys.argv.append(corpus)
    Path(corpus).mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(seeds()):
        (Path(corpus) / f"seed-{index}").write_bytes(content)
    with any_checksum():
        atheris.Setup(sys.argv, run, custom_mutator=mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
