"""A 1080p photo with boxes to keypoints, against OpenCV, onnxruntime and NumPy put together."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
import pytest
from harness import Options, Prepared, ReplayClock, read_options
from lpn_core.estimator import read_model
from lpn_core.image.load import load_image
from numpy.typing import NDArray
from report import Column, Report
from rounds import Samples, Worker, interleave

ROUNDS = 12
CLOCK = ReplayClock()
ENGINES = (peers.OURS, "opencv + onnxruntime + numpy")
PHOTO = Path(__file__).resolve().parents[1] / "examples" / "astronaut.jpg"
HEIGHT, WIDTH = 1080, 1920
# Of the photo's one person, x y w h after the photo was doubled and put in the middle.
BOX = (548.0, 40.0, 800.0, 1000.0)
# OpenCV rounds positions to 1/32 pixel. Of the joints that are in the photo, so many are within so
# many heatmap pixels; narrow numbers err, in int8 on both sides.
SCORE = 0.2
AGREEING = {"fp32": (0.95, 0.1), "bf16": (0.85, 0.5), "int8": (0.75, 1.0)}
# What the peer computes with: onnxruntime has no bf16 on CPUs.
PEER_SETTINGS: dict[str, dict[str, str]] = {
    "fp32": {},
    "bf16": {},
    "int8": {"precision": "int8", "form": "qoperator"},
}

COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("median ms", "median_s", ".2f", 1e3),
    Column("min ms", "min_s", ".2f", 1e3),
    Column("spread", "spread", ".1%"),
    Column("peer / it: median", "ratio_median", ".2f"),
    Column("min", "ratio_min", ".2f"),
    Column("waited", "waited", ".1%"),
    Column("people/s", "people_per_s", ".1f"),
)
STAGE_COLUMNS = (
    Column("case", "case"),
    Column("engine", "engine"),
    Column("crop ms", "crop_s", ".3f", 1e3),
    Column("network ms", "network_s", ".2f", 1e3),
    Column("total ms", "total_s", ".2f", 1e3),
    Column("all but the network", "rest_share", ".2%"),
    Column("total / network", "whole_ratio", ".3f"),
)


@dataclass(frozen=True)
class Case:
    """People in the photo, flip test, threads, precision."""

    people: int
    flip: bool
    threads: int
    precision: str

    def __str__(self) -> str:
        flip = "flip" if self.flip else "plain"
        narrow = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{self.people}-people-{flip}-threads{self.threads}{narrow}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "measured" in metafunc.fixturenames:
        options = read_options(metafunc.config)
        axes = ((1,), (False,), (1,)) if options.smoke else ((1, 8), (False, True), (1, 2))
        cases = [Case(*values) for values in itertools.product(*axes, options.precisions)]
        metafunc.parametrize("measured", cases, indirect=True, ids=str)
        metafunc.parametrize("engine", ENGINES)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """The example, doubled, on a grey 1080p canvas."""
    pytest.importorskip("PIL", reason="the example photo is read with pillow")
    pixels = load_image(PHOTO, order=None, exif=True)[0].repeat(2, axis=0).repeat(2, axis=1)
    canvas = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
    top, left = (HEIGHT - pixels.shape[0]) // 2, (WIDTH - pixels.shape[1]) // 2
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


def boxes(people: int) -> NDArray[np.float64]:
    """(people, 4): the person's box, and others near it as a detector might give."""
    generator = np.random.default_rng(0)
    jitter = generator.uniform(-40, 40, (people, 4))
    jitter[0] = 0
    return np.asarray(BOX) + jitter


@dataclass
class Measured:
    """What a case gave."""

    case: Case
    samples: dict[str, Samples]
    versions: dict[str, str]


@pytest.fixture(scope="module")
def measured(
    request: pytest.FixtureRequest,
    options: Options,
    prepared: Prepared,
    report: Report,
    photo: NDArray[np.uint8],
) -> Measured:
    for distribution, module in (("onnxruntime", "onnx"), ("opencv-python-headless", "cv2")):
        if peers.installed(distribution, module) is None:
            pytest.skip(f"{distribution} is not installed")
    return measure(request.param, options, prepared, report, photo)


def measure(
    case: Case, options: Options, prepared: Prepared, report: Report, photo: NDArray[np.uint8]
) -> Measured:
    """Checks that the coordinates agree, times both in turn, then our stages."""
    model = read_model("lpn50")
    isa = options.isas[0] if options.isas else None
    shared = {"photo": photo, "boxes": boxes(case.people), "flip": case.flip}
    shared |= {"threads": case.threads}
    own = {"isa": isa, "precision": case.precision}
    settings = PEER_SETTINGS[case.precision]
    starts: dict[str, tuple[str, dict[str, Any]]] = {
        ENGINES[0]: ("pipelines:OurPipeline", own),
        ENGINES[1]: (
            "pipelines:PeerPipeline",
            {
                "folder": prepared.folder(
                    "onnxruntime", "lpn50", settings.get("precision", "fp32")
                ),
                **settings,
                "input_spec": model.input,
                "decode_spec": model.decode,
                "mirror_index": list(model.keypoint_set.mirror_index),
            },
        ),
    }
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        answers = []
        for name, (path, arguments) in starts.items():
            workers[name] = worker = Worker(name, case.threads)
            stack.callback(worker.close)
            worker.start(path, **shared, **arguments)
            answers.append(worker.answer())
        check_agreement(answers[0], answers[1], case)
        samples, _ = interleave(workers, options.rounds(ROUNDS), runs=3 if case.people == 1 else 1)
        runs = 1 if options.smoke else 30 // case.people + 3
        parts = workers[ENGINES[0]].call("pipelines:stages", **shared, **own, runs=runs)
    tabulate(case, samples, parts, report)
    versions = [peers.available(name) or "" for name in (peers.OURS, "onnxruntime")]
    return Measured(case, samples, dict(zip(ENGINES, versions, strict=True)))


def check_agreement(ours: NDArray[Any], theirs: NDArray[Any], case: Case) -> None:
    """Both find the same joints, within what OpenCV's fixed-point warp allows."""
    found = ours[..., 2] >= SCORE
    assert found.mean() > 0.5, "the network finds less than half of the joints"
    heatmap_pixel = boxes(case.people)[:, 3].max() * 1.25 / 64
    distances = np.linalg.norm(ours[..., :2] - theirs, axis=-1)[found] / heatmap_pixel
    wanted, limit = AGREEING[case.precision]
    close = float((distances < limit).mean())
    assert close >= wanted, (
        f"{close:.1%} of the joints agree within {limit} heatmap pixels; wanted {wanted:.0%}; "
        f"the largest distance is {distances.max():.2f}"
    )


def tabulate(
    case: Case, samples: dict[str, Samples], parts: dict[str, list[float]], report: Report
) -> None:
    """Adds a case's rows to the closing tables."""
    table = report.table("Pipelines: photo and boxes to keypoints, LPN-50", COLUMNS)
    peer = samples[ENGINES[1]]
    for name, own in samples.items():
        assert own.seconds, own.note
        table.records.append(
            {
                "case": str(case),
                "engine": name,
                "median_s": own.median,
                "min_s": own.minimum,
                "spread": own.spread,
                "waited": own.waited,
                "ratio_median": peer.median / own.median,
                "ratio_min": peer.minimum / own.minimum,
                "people_per_s": case.people / own.median,
            }
        )
    seconds = {name: np.asarray(part) for name, part in parts.items()}
    total, network = seconds["total"], seconds["network"]
    report.table("Stages of our pipeline, medians", STAGE_COLUMNS).records.append(
        {
            "case": str(case),
            "engine": ENGINES[0],
            "crop_s": float(np.median(seconds["crop"])),
            "network_s": float(np.median(network)),
            "total_s": float(np.median(total)),
            # Differences within a round: what slows down a round slows down both.
            "rest_share": float(np.median((total - network) / total)),
            "whole_ratio": float(np.median(total / network)),
        }
    )


@pytest.mark.benchmark(timer=CLOCK)
def test_pipeline(benchmark: Any, measured: Measured, engine: str) -> None:
    benchmark.group = f"pipeline {measured.case}"
    benchmark.extra_info.update(engine=engine, version=measured.versions[engine])
    CLOCK.replay(benchmark, measured.samples[engine])
