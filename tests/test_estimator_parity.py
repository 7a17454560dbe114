"""The whole of PoseEstimator, image to image coordinates, against an independent float64 pipeline.

The network is two random convolutions: small enough to be written down again here, and its heatmaps
depend on every pixel, channel and normalisation constant of the crop.
"""

from __future__ import annotations

import numpy as np
import pytest
import reference
from lpn_core import Model, ModelFile, PoseEstimator
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.spec import DecodeSpec, InputSpec, Provenance, SelfTest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

JOINTS = 17
PAIRS = [(left, left + 1) for left in range(1, JOINTS, 2)]
MEAN, STD = (0.41, 0.52, 0.33), (0.21, 0.25, 0.29)
HEIGHT, WIDTH = 256, 192
# One box per case: inside, over each border, around the image, tall, wide, far outside.
BOXES = [
    (210.0, 80.0, 150.0, 260.0),
    (-60.5, 120.25, 200.0, 180.0),
    (520.0, 300.0, 190.0, 240.0),
    (0.0, 0.0, 640.0, 480.0),
    (300.0, -30.0, 40.0, 400.0),
    (100.0, 200.0, 420.0, 60.0),
    (330.3, 210.7, 21.0, 33.0),
]


def _weights(seed: int = 3) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> NDArray[np.float32]:
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        return (generator.standard_normal(shape) / np.sqrt(fan)).astype(np.float32)

    return {
        "stem.weight": draw(24, 3, 7, 7),
        "stem.bias": draw(24),
        # Heatmaps of about +-0.1: with beta 160 the softmax then weighs many positions.
        "joints.weight": draw(JOINTS, 24, 3, 3) * np.float32(0.1),
        "joints.bias": draw(JOINTS) * np.float32(0.1),
    }


def _model_file(
    weights: dict[str, NDArray[np.float32]], order: str, decode: DecodeSpec
) -> ModelFile:
    def conv(name: str, source: str, kernel: int, activation: str) -> NodeSpec:
        attributes = {
            "stride": 2,
            "padding": kernel // 2,
            "groups": 1,
            "activation": activation,
        }
        return NodeSpec("conv2d", name, (source,), attributes, ("weight", "bias"))

    nodes = (conv("stem", "image", 7, "relu"), conv("joints", "stem", 3, "none"))
    return ModelFile(
        name="two-convolutions",
        graph=GraphSpec("image", 3, nodes, ("joints",)),
        input=InputSpec(channel_order=order, mean=MEAN, std=STD, height=HEIGHT, width=WIDTH),
        decode=decode,
        keypoints="coco17",
        provenance=Provenance(),
        self_test=SelfTest(np.zeros((2, HEIGHT, WIDTH, 3), np.uint8), np.zeros((2, JOINTS, 2))),
        weights=weights,
    )


def _image() -> NDArray[np.uint8]:
    """A smooth random RGB image, 480 x 640: blurred noise stretched to all grey levels."""
    generator = np.random.default_rng(4)
    coarse = torch.from_numpy(generator.standard_normal((1, 3, 30, 40)))
    image = torch.nn.functional.interpolate(coarse, (480, 640), mode="bicubic")[0]
    image = image.permute(1, 2, 0).contiguous().numpy()
    image = (image - image.min()) / (image.max() - image.min()) * 255
    return image.round().astype(np.uint8)


def _reference_heatmaps(
    crops: NDArray[np.float64], weights: dict[str, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Normalised crops (N, H, W, 3) in the network's order -> heatmaps (N, K, h, w)."""
    tensors = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    conv2d = torch.nn.functional.conv2d
    x = torch.from_numpy(crops).permute(0, 3, 1, 2)
    x = conv2d(x, tensors["stem.weight"], tensors["stem.bias"], stride=2, padding=3).relu()
    x = conv2d(x, tensors["joints.weight"], tensors["joints.bias"], stride=2, padding=1)
    result: NDArray[np.float64] = x.numpy()
    return result


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    "decode",
    [
        DecodeSpec(),
        DecodeSpec(quarter_step=False, flip_shift=0),
        DecodeSpec(kind="argmax", beta=None, flip_shift=2),
    ],
    ids=["beta160-quarter", "beta160", "argmax-quarter"],
)
def test_estimator(decode: DecodeSpec, order: str, flip: bool) -> None:
    image, weights = _image(), _weights()
    boxes = np.array(BOXES)
    centre, size = reference.padded_box(boxes, WIDTH / HEIGHT, 1.25)
    matrices = reference.crop_matrix(centre, size, WIDTH, HEIGHT)
    pixels = image if order == "rgb" else image[..., ::-1]
    crops = np.stack([reference.bilinear_crop(pixels, m, HEIGHT, WIDTH) for m in matrices])
    crops = (crops / 255 - np.array(MEAN)) / np.array(STD)
    heatmaps = _reference_heatmaps(crops, weights)
    if flip:
        mirrored = _reference_heatmaps(crops[:, :, ::-1].copy(), weights)
        heatmaps = reference.flip_average(heatmaps, mirrored, PAIRS, decode.flip_shift)
    if decode.kind == "argmax":
        exact, scores = reference.argmax(heatmaps)
    else:
        assert decode.beta is not None
        exact, scores = reference.soft_argmax(heatmaps, decode.beta)
    # Ties and rounding boundaries within 1e-5, as a float32 pipeline may fall on either side.
    clear = ~reference.ambiguous(heatmaps, exact, peak=decode.kind == "argmax")
    assert clear.mean() > 0.85, "black borders are level: nothing there decides a quarter step"
    if decode.quarter_step:
        exact = reference.quarter_step(heatmaps, exact)
    exact = reference.heatmap_to_image(
        exact, centre[:, None], size[:, None], WIDTH // 4, HEIGHT // 4
    )

    with PoseEstimator(Model(_model_file(weights, order, decode), threads=2)) as estimate:
        poses = estimate(image, boxes=BOXES, flip=flip, order="rgb")
        swapped = estimate(
            np.ascontiguousarray(image[..., ::-1]), boxes=BOXES, flip=flip, order="bgr"
        )

    error = np.abs(poses.keypoints - exact).max(axis=-1) / (size[:, :1] / (WIDTH // 4))
    assert error[clear].max() <= 1e-3, "in heatmap pixels"
    score_error = np.abs(poses.raw_scores - scores)[clear].max() / np.abs(scores).max()
    assert score_error <= 1e-5
    np.testing.assert_array_equal(swapped.keypoints, poses.keypoints)
    np.testing.assert_array_equal(poses.boxes, boxes)
