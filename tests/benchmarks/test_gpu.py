"""The parts of benchmarks/gpu.py that can be tested without a GPU."""

import math
from pathlib import Path

import pytest
import torch

from transformer.config.files import load_config
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[2]
TINY = {"vocab_size": 13, "block_size": 7, "embedding_dim": 6, "num_heads": 3, "num_blocks": 2}


@pytest.fixture
def gpu(load_benchmark):
    return load_benchmark("gpu")


def test_flops_per_token_by_hand(gpu):
    """6 x 1000 + 12 x 2 blocks x width 6 x context 7."""
    assert gpu.flops_per_token(1000, TINY) == 6000 + 1008


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
    ],
)
def test_peak_of_a_known_gpu(gpu, name, peak):
    assert gpu.peak_flops(name) == peak


def test_peak_of_an_unknown_gpu_is_asked_for(gpu):
    with pytest.raises(UserError, match=r"'Voodoo 2' is unknown: give --peak_flops"):
        gpu.peak_flops("Voodoo 2")


def test_without_a_gpu_it_is_one_line_and_status_2(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as exit_:
        gpu.run_script(lambda: gpu.main(["--data_path", "verse.txt"]))
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "error: gpu.py measures a CUDA GPU, and torch finds none on this machine\n"
    )


@pytest.mark.slow
def test_both_sides_have_the_same_parameters(gpu):
    pytest.importorskip("transformers")
    ours, theirs = (gpu.make_model(side, TINY) for side in gpu.SIDES)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_shapes_have_the_parameters_that_their_names_say(gpu):
    with torch.device("meta"):
        models = {name: gpu.make_model("ours", shape) for name, shape in gpu.SHAPES.items()}
    millions = {name: sum(p.numel() for p in m.parameters()) / 1e6 for name, m in models.items()}
    assert millions["10.7 M"] == pytest.approx(10.7, abs=0.1)
    assert millions["124 M"] == pytest.approx(124, abs=1)


def test_shape_of_10_7_m_is_that_of_the_config(gpu):
    config = load_config(gpu.CONFIG)
    keys = [key for key in gpu.SIZES if key != "vocab_size"]
    assert [getattr(config, key) for key in keys] == [gpu.SHAPES["10.7 M"][key] for key in keys]
    assert config.batch_size == gpu.FIXED_BATCH["10.7 M"]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["ours", "hugging_face"])
def test_speed_of_a_tiny_model_on_the_cpu(gpu, side):
    pytest.importorskip("transformers")
    speed = gpu.measure(side, TINY, 2, "cpu", quick=True)
    assert speed["tokens_per_second"] == pytest.approx(2 * 7 / speed["seconds_per_step"])
    model = gpu.make_model(side, TINY)
    assert speed["num_parameters_counted"] == sum(p.numel() for p in model.parameters()) - 7 * 6
    flops = gpu.flops_per_token(speed["num_parameters_counted"], TINY)
    assert speed["flops_per_second"] == pytest.approx(flops * speed["tokens_per_second"])


def test_a_model_without_memory_has_no_speed(gpu, monkeypatch):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "make_step", refuse)
    assert gpu.measure("ours", TINY, 2, "cpu") is None


def test_batch_is_doubled_until_nothing_comes_back(gpu):
    tried = []
    assert gpu.largest(lambda size: tried.append(size) or size <= 40, 8) == (32, True)
    assert tried == [8, 16, 32, 64]
    with pytest.raises(UserError, match="a batch of 8 does not fit"):
        gpu.largest(lambda size: None, 8)


@pytest.mark.slow
def test_profile_shares_are_the_largest_first(gpu):
    result = gpu.profile("ours", TINY, 2, "cpu", compiled=False)
    shares = list(result["shares"].values())
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == gpu.KERNELS_SHOWN
    assert 0 < math.fsum(shares) <= 1


def test_seconds_to_a_target_are_those_of_the_first_validation_there(gpu):
    curve = [{"val_loss": loss, "seconds": at} for loss, at in ((1.6, 3.0), (1.4, 5.0), (1.3, 7.0))]
    assert gpu.seconds_to(1.4, curve) == 5.0
    assert gpu.seconds_to(1.2, curve) is None


def test_curve_is_read_from_the_events_of_a_run(gpu, tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("val_loss", 1.5, 3, walltime=writer_time(writer) + 4)
        writer.add_scalar("val_loss", 1.25, 6, walltime=writer_time(writer) + 9)
    steps = [(point["step"], point["val_loss"]) for point in gpu.validation_curve(tmp_path)]
    assert steps == [(3, 1.5), (6, 1.25)]
    seconds = [point["seconds"] for point in gpu.validation_curve(tmp_path)]
    assert seconds == pytest.approx([4, 9], abs=1.5)  # the name has whole seconds


def writer_time(writer):
    """When the writer's file was begun, by its name."""
    (path,) = Path(writer.log_dir).glob("events.out.tfevents.*")
    return float(path.name.split(".")[3])
