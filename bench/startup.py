"""A process that does what a user's script does first: import, load, one result.

startup.py ENGINE FOLDER THREADS [OPTION=VALUE ...] prints a line of JSON after whatever the engine
prints: seconds from numpy's import to the first result, peak resident bytes, and CPU seconds used
while idle for one second. The options are those of the engine's load; our file is in the folder. It
imports nothing that would not be part of such a script; a peer's module, which is, comes for free.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

# An onnxruntime worker spins on for a while after a run.
SETTLE_S = 0.3
IDLE_S = 1.0

if __name__ == "__main__":
    engine, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings: dict[str, Any] = dict(option.split("=", 1) for option in sys.argv[4:])
    images = np.random.default_rng(0).standard_normal((1, 256, 192, 3), dtype=np.float32)
    if engine == "lpn_core":
        if settings.get("precision") == "int8":
            # As crops come; the other precisions would make them float32.
            images = (images * 64 + 128).clip(0, 255).astype(np.uint8)
        name = f"{folder}/{settings.pop('file')}" if "file" in settings else "lpn50"
        start = time.perf_counter()
        import lpn_core

        model = lpn_core.load(name, threads=threads, **settings).model
        heatmaps = model(images)
    else:
        import importlib
        from pathlib import Path

        peer = importlib.import_module(f"peers.{engine}")
        start = time.perf_counter()
        session = peer.load(Path(folder), threads, 1, **settings)
        feed = session.feed(images)
        heatmaps = session.heatmaps(session.run(feed))
    seconds = time.perf_counter() - start
    assert heatmaps.shape == (1, 64, 48, 17)

    import json
    import re

    # Not getrusage: its maximum counts what the parent had when it forked. Not pathlib: importing
    # it would add to what is measured.
    with open("/proc/self/status") as status:  # noqa: PTH123
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read())
    assert found is not None
    peak = int(found[1]) * 1024
    time.sleep(SETTLE_S)
    used = time.process_time()
    time.sleep(IDLE_S)
    idle = time.process_time() - used
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "idle_cpu_s": idle}), flush=True)
