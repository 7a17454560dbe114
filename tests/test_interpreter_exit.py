"""Daemon threads inside the engine when the interpreter exits: the process keeps its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Every repetition is a forked child: the imports are paid once.
SCRIPT = """
import os, sys, threading, warnings
import numpy as np
import lpn_core

pose = lpn_core.load(sys.argv[1], threads=2)
crops = np.zeros((3, 64, 48, 3), np.uint8)
heatmaps = np.zeros((40, 17, 64, 48), np.float32)
calls = {
    "model": lambda: pose.model(crops),
    "load": lambda: lpn_core.load(sys.argv[1], threads=2),
    "soft_argmax": lambda: lpn_core.soft_argmax(heatmaps, layout="nchw"),
}

def work(inside):
    while True:
        calls[sys.argv[2]]()
        inside.set()

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: of NumPy's threads and fork
for repetition in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        threads = [threading.Event() for _ in range(4)]
        for inside in threads:
            threading.Thread(target=work, args=(inside,), daemon=True).start()
        for inside in threads:
            inside.wait()
        sys.exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 7:
        sys.exit(f"repetition {repetition} ended with {code}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="repeats itself by fork")
@pytest.mark.parametrize("call", ["model", "load", "soft_argmax"])
def test_daemon_threads_do_not_cost_the_exit_code(call: str, tiny_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_path), call, "12"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
