"""What a run can start from: model files unfolded, foreign state dicts, checkpoints."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("click")
pytest.importorskip("PIL")

from lpn_core import Model, ModelFileError, model_file  # noqa: E402
from lpn_core.convert import make_model_file  # noqa: E402
from lpn_core.estimator import read_model  # noqa: E402
from lpn_core.keypoints import COCO17, MPII16, KeypointSet  # noqa: E402
from lpn_core.model.spec import InputSpec  # noqa: E402
from lpn_training.data.augment import normalise  # noqa: E402
from lpn_training.export import export_checkpoint  # noqa: E402
from lpn_training.initial import load_initial, measure_norms  # noqa: E402
from lpn_training.models.lpn import LPN  # noqa: E402
from lpn_training.train import Trainer, fit  # noqa: E402
from training_runs import one_thread, synthetic_shard, tiny_config  # noqa: E402

# Folding and unfolding round each weight and sum about twice.
SAME = 1e-5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_shard(tmp_path_factory.mktemp("shards"), "noise")


def random_network(depth: int, attention: Any, joints: int = 17) -> LPN:
    """A network with statistics, scales and shifts that no initialisation would give."""
    torch.manual_seed(depth)
    network = LPN(depth, attention, joints)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                assert values is not None
                values.uniform_(low, high, generator=generator)
    return network.eval()


def write_model_file(network: LPN, path: Path, **options: Any) -> Path:
    state = {k: v.numpy() for k, v in network.state_dict().items() if "num_batches" not in k}
    depth = {16: 50, 33: 101, 50: 152}[sum(len(getattr(network, f"layer{i}")) for i in range(1, 5))]
    options = {"channel_order": "rgb", **options}
    model_file.write(path, make_model_file(path.stem, f"lpn{depth}", state, **options))
    return path


def relative(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def heatmaps(network: LPN, crops: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    views = normalise(torch.tensor(crops).permute(0, 3, 1, 2).float() / 255)
    with torch.no_grad():
        return network.eval()(views).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("depth", "attention"), [(50, "gc"), (50, "se"), (101, None)])
def test_unfolded_weights_give_the_heatmaps_of_the_file_before_and_after_measuring(
    tmp_path: Path, depth: int, attention: Any
) -> None:
    path = write_model_file(random_network(depth, attention), tmp_path / "m.safetensors")
    file = read_model(path)
    with Model(file) as engine:
        wanted = engine(file.self_test.crops)
    network = LPN(depth, attention)
    assert load_initial(network, str(path))
    assert relative(heatmaps(network, file.self_test.crops), wanted) <= SAME
    measure_norms(network, [torch.randn(2, 3, 64, 48), torch.randn(3, 3, 64, 48)])
    assert relative(heatmaps(network, file.self_test.crops), wanted) <= SAME


def test_measured_statistics_are_those_of_the_batches() -> None:
    """A network in training mode normalises by what was measured on the same batch."""
    network = random_network(50, "gc")
    views = torch.randn(4, 3, 64, 48)
    measure_norms(network, [views])
    with torch.no_grad():
        wanted = network.eval()(views).numpy()
        network.train()
        found = network(views).numpy()
    # The statistics go through float32; none is of fewer than 48 values.
    assert relative(found, wanted) <= 1e-3


def test_a_run_starts_from_the_bundled_model(shard: Path, tmp_path: Path) -> None:
    config = tiny_config(shard, "train.initial=lpn50", "model.height=64", "model.width=48")
    trainer = Trainer(config, tmp_path / "run")
    file = read_model("lpn50")
    with Model(file) as engine:
        wanted = engine(file.self_test.crops)
    assert relative(heatmaps(trainer.model, file.self_test.crops), wanted) <= SAME
    assert trainer.average is not None
    assert relative(heatmaps(trainer.average.module, file.self_test.crops), wanted) <= SAME


def test_export_after_unfolding_is_the_file_again(shard: Path, tmp_path: Path) -> None:
    """Unfold, save untrained, export: the engine's answers do not move."""
    first = write_model_file(random_network(50, "gc"), tmp_path / "first.safetensors")
    config = tiny_config(shard, f"train.initial={first}", "train.learning_rate=1e-30",
                         "train.ema_decay=0.0", "train.freeze_norm=true", "schedule.stages=1",
                         "schedule.restart_epoch=0", "schedule.epochs=1")  # fmt: skip
    fit(config, tmp_path / "run")
    again = tmp_path / "again.safetensors"
    export_checkpoint(tmp_path / "run" / "last.pt", again, name="again")
    crops = read_model(first).self_test.crops
    with Model(read_model(first)) as one, Model(read_model(again)) as two:
        assert relative(two(crops), one(crops)) <= SAME


def test_a_file_of_other_joints_gives_all_but_the_last_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = random_network(50, "gc", joints=16)
    path = write_model_file(source, tmp_path / "m.safetensors", keypoint_set=MPII16.name)
    network = LPN(50, "gc", 17)
    fresh = network.final_layer.weight.clone()
    load_initial(network, str(path))
    assert "has 16 joints, the model 17: its last layer starts anew" in caplog.text
    assert torch.equal(network.final_layer.weight, fresh)
    # What the last layer sees is the source's.
    seen: list[torch.Tensor] = []
    for net in (source, network.eval()):
        net.final_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        with torch.no_grad():
            net(torch.ones(1, 3, 64, 48))
    assert relative(seen[1].numpy(), seen[0].numpy()) <= SAME


def test_joints_of_the_same_name_keep_their_filters(
    shard: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From a model file and from a checkpoint, whose configuration knows its joints."""
    own = KeypointSet(
        name="own", names=("tail", "Right Hip", "nose"), skeleton=(), mirror_pairs=(), sigmas=None
    )
    source = random_network(50, "gc", joints=16)
    file = write_model_file(source, tmp_path / "m.safetensors", keypoint_set=MPII16.name)
    trainer = Trainer(tiny_config(shard, validate=False), tmp_path)
    trainer.save("last.pt")
    for path, theirs, layer in (
        (file, MPII16, source.final_layer),
        (tmp_path / "last.pt", COCO17, trainer.model.final_layer),
    ):
        network = LPN(50, "gc", 3)
        fresh = network.final_layer.weight.clone()
        load_initial(network, str(path), own)
        plain = ("tail", "right_hip", "nose")
        known = [joint for joint in plain if joint in theirs.names]
        assert f"has {len(known)} of the model's 3 joints" in caplog.text
        for index, name in enumerate(plain):
            wanted = layer.weight[theirs.names.index(name)] if name in known else fresh[index]
            assert torch.equal(network.final_layer.weight[index], wanted)
        caplog.clear()


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_foreign_state_dict_with_the_official_keys(tmp_path: Path, prefix: str) -> None:
    source = random_network(50, "gc")
    path = tmp_path / "official.pth"
    state = {f"{prefix}{key}": value for key, value in source.state_dict().items()}
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, path)
    network = LPN(50, "gc")
    assert not load_initial(network, str(path))
    own = network.state_dict()
    for key, value in source.state_dict().items():
        assert "num_batches" in key or torch.equal(own[key], value), key


def test_a_state_dict_with_and_without_the_prefix_is_refused(tmp_path: Path) -> None:
    state = dict(random_network(50, "gc").state_dict())
    path = tmp_path / "both.pth"
    torch.save({**state, "module.conv1.weight": state["conv1.weight"] + 1}, path)
    with pytest.raises(ValueError, match=r"both\.pth: .*'conv1\.weight' with and without 'module"):
        load_initial(LPN(50, "gc"), str(path))


@pytest.mark.parametrize(
    ("depth", "attention", "words"),
    [
        (101, "gc", r"another network than the model; missing.*layer3\.6"),
        (50, "se", r"left over: layer1\.0\.att\.b1"),
        (50, None, r"left over: layer1\.0\.att\.b1"),
    ],
)
def test_a_file_of_another_network_is_refused(
    tmp_path: Path, depth: int, attention: Any, words: str
) -> None:
    path = write_model_file(random_network(50, "gc"), tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=words):
        load_initial(LPN(depth, attention), str(path))


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("order", "mean", "std"),
    [
        ("bgr", MEAN[::-1], STD[::-1]),
        ("rgb", MEAN, (1.0, 0.5, 2.0)),
        ("bgr", MEAN[::-1], (1.0,) * 3),
    ],
)
def test_a_file_of_another_input_gives_its_heatmaps_from_training_views(
    tmp_path: Path, order: Any, mean: Any, std: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spec = InputSpec(channel_order=order, height=64, width=48, mean=mean, std=std)
    path = write_model_file(
        random_network(50, "gc"), tmp_path / "m.safetensors", channel_order=order, input=spec
    )
    file = read_model(path)
    network = LPN(50, "gc")
    assert load_initial(network, str(path))
    with Model(file) as engine:
        # uint8 crops are RGB, whatever the network takes.
        wanted = engine(file.self_test.crops)
    assert relative(heatmaps(network, file.self_test.crops), wanted) <= SAME
    measure_norms(network, [torch.randn(2, 3, 64, 48)])
    assert relative(heatmaps(network, file.self_test.crops), wanted) <= SAME
    assert "beyond the view's edge" not in caplog.text


def test_another_mean_changes_only_what_the_first_layer_sees_of_the_edge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The official checkpoint for COCO: BGR pixels by the mean of RGB ones."""
    source = random_network(50, "gc")
    path = write_model_file(source, tmp_path / "m.safetensors", channel_order="bgr")
    network = LPN(50, "gc").eval()
    load_initial(network, str(path))
    assert "its heatmaps change where the first layer reaches beyond the view's edge" in caplog.text
    pixels = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        wanted = source.bn1(source.conv1(normalise(pixels.flip(1)))).numpy()
        found = network.bn1(network.conv1(normalise(pixels))).numpy()
    # Of 7 x 7 taps at stride 2 the first and last two rows and columns reach beyond it.
    inner = np.s_[:, :, 2:-2, 2:-2]
    assert relative(found[inner], wanted[inner]) <= SAME
    assert relative(found, wanted) > SAME


def test_a_damaged_model_file_is_called_that(tmp_path: Path) -> None:
    path = write_model_file(random_network(50, "gc"), tmp_path / "m.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="the file is damaged"):
        load_initial(LPN(50, "gc"), str(path))


def test_nothing_to_start_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        load_initial(LPN(50, "gc"), str(tmp_path / "nowhere.safetensors"))
    with pytest.raises(ValueError, match="no batch was given"):
        measure_norms(LPN(50, None), [])
    with pytest.raises(ValueError, match="input of bn1 is not finite"):
        measure_norms(LPN(50, None), [torch.full((1, 3, 32, 32), torch.nan)])


def test_dead_filters_stay_as_they_are() -> None:
    network = random_network(50, None)
    network.conv1.weight.data[3] = 0
    views = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        wanted = network(views).numpy()
        measure_norms(network, itertools.repeat(views, 1))
        assert relative(network(views).numpy(), wanted) <= SAME
    assert not network.conv1.weight[3].any()
