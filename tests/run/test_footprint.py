"""The estimated memory and arithmetic of a step, compared with known values of its parts."""

from functools import cache

import pytest
import torch

from transformer.models import build_model
from transformer.models.low_rank import AdapterSettings, adapt
from transformer.models.parts.layers import recompute_blocks
from transformer.run.footprint import Footprint, Step, on_several, step_flops, step_memory
from transformer.training.lightning_module import LanguageModule
from transformer.training.optimization.optimizers import make_optimizer
from transformer.training.pair_module import PairModule
from transformer.training.settings import OptimizerSettings

SHAPE = {"vocab_size": 13, "block_size": 64, "embedding_dim": 32, "num_heads": 2, "num_blocks": 2}
SETTINGS = {"lr": 1e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8}


def step(
    *,
    batch_size=8,
    optimizer="adamw",
    recompute=False,
    bf16=False,
    num_blocks=2,
    num_kv_heads=2,
    dropout=0.0,
    on_cpu=True,
    adapter=(),
) -> Step:
    def make_module():
        changes = {"num_blocks": num_blocks, "num_kv_heads": num_kv_heads, "dropout": dropout}
        model = build_model("gpt", **SHAPE | changes)
        if recompute:
            recompute_blocks(model)
        if adapter:
            adapt(model, AdapterSettings(lora_rank=adapter[0], base_precision=adapter[1]))
        return LanguageModule(model, lr=1e-3)

    return Step(
        make_module,
        lambda module: make_optimizer(module, OptimizerSettings(optimizer=optimizer, **SETTINGS)),
        [(batch_size, 64)] * 2,
        bf16=bf16,
        on_cpu=on_cpu,
    )


@cache
def footprint(**keys) -> Footprint:
    return step_memory(step(**keys))


@pytest.fixture
def plain():
    return footprint()


@pytest.mark.slow
def test_weights_and_moments_are_four_and_eight_bytes_a_number(plain):
    num_parameters = sum(p.numel() for p in build_model("gpt", **SHAPE).parameters())
    assert plain.bytes_by_part["weights"] == 4 * num_parameters
    assert plain.bytes_by_part["optimizer"] == pytest.approx(8 * num_parameters, rel=0.01)
    muon = footprint(optimizer="muon").bytes_by_part["optimizer"]
    assert 4 * num_parameters < muon < 5 * num_parameters


@pytest.mark.slow
def test_an_adapter_has_gradients_and_moments_of_its_own_alone_and_a_smaller_base(plain):
    rank, width = 2, SHAPE["embedding_dim"]
    num_trained = SHAPE["num_blocks"] * rank * (4 + 2 + 5 + 5) * width  # qkv, output, two of 4 C
    matrices = SHAPE["num_blocks"] * 12 * width**2
    found = {kind: footprint(adapter=(rank, kind)) for kind in ("float32", "bf16", "int8")}
    for part in found.values():
        assert part.trained_bytes == 4 * num_trained
        assert part.bytes_by_part["optimizer"] == pytest.approx(8 * num_trained, rel=0.01)
        assert part.bytes_by_part["gradients"] <= 4 * num_trained
    weights = {kind: part.bytes_by_part["weights"] for kind, part in found.items()}
    assert weights["float32"] == plain.bytes_by_part["weights"] + 4 * num_trained
    assert weights["float32"] - weights["bf16"] == 2 * matrices
    assert weights["float32"] - weights["int8"] == 3 * matrices
    assert step_flops(step(adapter=(rank, "float32"))) < 0.8 * step_flops(step())


@pytest.mark.slow
def test_activations_grow_with_the_batch_and_shrink_with_half_precision_and_recomputing(plain):
    activations = plain.bytes_by_part["activations"]
    more = [footprint(batch_size=size).bytes_by_part["activations"] for size in (16, 24)]
    assert more[1] - more[0] == pytest.approx(more[0] - activations, rel=0.06)
    assert more[0] > 1.8 * activations
    assert footprint(bf16=True).bytes_by_part["activations"] < 0.8 * activations
    assert footprint(recompute=True).total_bytes < 0.75 * plain.total_bytes


@pytest.mark.slow
def test_attention_with_dropout_keeps_its_weights_on_a_cpu_alone():
    """8 x 2 x 64 x 64 of 4 bytes in each of 4 blocks, and at least as much of the dropout."""
    on_cpu, on_gpu = (footprint(dropout=0.1, on_cpu=on_cpu) for on_cpu in (True, False))
    weights = 4 * 8 * 2 * 64 * 64 * 4
    assert on_cpu.total_bytes > on_gpu.total_bytes + weights


@pytest.mark.slow
def test_heads_that_share_keys_take_less_memory_and_fewer_flops():
    own, shared = (footprint(num_kv_heads=number).bytes_by_part for number in (2, 1))
    fewer = 2 * 2 * 16 * (32 + 1)  # keys and values of one head, in each of two blocks
    assert own["weights"] - shared["weights"] == 4 * fewer
    assert shared["activations"] < own["activations"]
    assert step_flops(step(num_kv_heads=1)) < step_flops(step(num_kv_heads=2))


@pytest.mark.slow
def test_ctc_is_counted_without_its_tables():
    sizes = SHAPE | {"source_vocab_size": 17, "num_blocks": 1}
    flops = []
    for weight in (0.0, 0.3):
        pairs = Step(
            lambda w=weight: PairModule(
                build_model("encoder_decoder", **sizes, ctc_weight=w, tie_weights=False), lr=1e-3
            ),
            lambda module: make_optimizer(module, OptimizerSettings(optimizer="adamw", **SETTINGS)),
            [(8, 60), (8, 30), (8, 30)],
            bf16=False,
        )
        assert step_memory(pairs).total_bytes > 0
        flops.append(step_flops(pairs))
    # Both guesses of each place, forward and twice backward.
    assert flops[1] - flops[0] == 6 * 8 * 60 * 32 * 2 * 13


@pytest.mark.slow
def test_flops_are_six_a_weight_and_token_and_those_of_attention():
    """6 N + 12 L C T a token (arXiv:2001.08361, 2.1): products of matrices, embeddings are none."""
    model = build_model("gpt", **SHAPE)
    blocks = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2)
    blocks -= model.position_embedding.weight.numel()
    per_token = 6 * blocks + 12 * 2 * 32 * 64
    flops = step_flops(step())
    assert flops == pytest.approx(8 * 64 * per_token, rel=0.1)
    assert step_flops(step(recompute=True)) > 1.2 * flops


@pytest.mark.slow
def test_recomputed_blocks_keep_what_goes_in_and_nothing_else():
    """8 x 64 x 32 numbers of 4 bytes for each further block, and its state."""
    more = footprint(recompute=True), footprint(recompute=True, num_blocks=4)
    activations = [one.bytes_by_part["activations"] for one in more]
    assert (activations[1] - activations[0]) / 2 == pytest.approx(8 * 64 * 32 * 4, rel=0.3)


def test_no_number_is_drawn_or_computed(plain):
    before = torch.get_rng_state()
    step_memory(step())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_step_knows_its_blocks(plain):
    model = build_model("gpt", **SHAPE)
    block = sum(p.nbytes for p in model.blocks[0].parameters())
    assert plain.block_bytes == (block,) * 2


def test_devices_share_what_fsdp_parts_and_nothing_else():
    parts = {"weights": 800, "gradients": 0, "optimizer": 1600, "activations": 50, "temporary": 7}
    alone = Footprint(parts, block_bytes=(10, 30, 20), trained_bytes=700)
    assert on_several(alone, "auto", 1) == alone
    assert on_several(alone, "ddp", 4).bytes_by_part["gradients"] == 700
    assert on_several(alone, "fsdp", 4).bytes_by_part == {
        **{"weights": 200, "gradients": 0, "optimizer": 400, "activations": 50},
        "temporary": 7 + 30 + 20 + 2 * (800 - 60),
    }
