"""Muon compared with torch.optim.Muon and torch.optim.AdamW, alone and in a Trainer."""

from collections import Counter

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from transformer.models.bigram import Bigram
from transformer.training.optimization.muon import Muon, orthogonalize
from transformer.training.optimization.optimizers import make_optimizer, muon_groups
from transformer.training.optimization.polar import newton_schulz, polar_express, zolotarev
from transformer.training.settings import OptimizerSettings

pytestmark = pytest.mark.parity
SETTINGS = {"lr": 0.013, "weight_decay": 0.3}
ADAMW = {"betas": (0.8, 0.9), "eps": 1e-7}
NUM_STEPS = 7
# Wide, tall and square; (5, 11) and (11, 5) share their products, (7, 7) occurs twice.
SHAPES = [(7, 7), (5, 11), (11, 5), (7, 7), (1, 13), (30, 90)]
# What make_gpt's blocks hold, as names end: how many matrices are one below the other.
PARTS = {"attention.qkv": 3, "attention.output": 1, "feedforward.input": 1, "feedforward.output": 1}
OPTIONS = [
    {},
    {"tie_weights": False},
    {"bias": False},
    {"activation": "swiglu", "norm": "rmsnorm", "positions": "rotary", "qk_norm": True},
    {"ngram_size": 3, "ngram_buckets": 17, "token_shift": True},
]


def make_parameters(shapes, generator):
    return [torch.nn.Parameter(torch.randn(s, generator=generator) * 0.1) for s in shapes]


def copies(parameters):
    return [torch.nn.Parameter(p.detach().clone()) for p in parameters]


def give_gradients(parameters, generator, scale=1.0):
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=generator) * scale


def torchs_muon(parameters):
    return torch.optim.Muon(parameters, adjust_lr_fn="match_rms_adamw", **SETTINGS)


def same(parameters, others, bound=0.0):
    """Bit for bit where both are one program; else, in float64, to 1e-10."""
    torch.testing.assert_close(list(parameters), list(others), rtol=0, atol=bound)


def test_every_matrix_moves_as_with_torchs_muon(all_float64, generator):
    ours = make_parameters(SHAPES, generator)
    theirs = copies(ours)
    optimizer, reference = Muon([{"params": ours, "num_parts": 1}], **SETTINGS), torchs_muon(theirs)
    for step in range(NUM_STEPS):
        give_gradients(ours, generator, scale=10.0 ** (step - 3))
        for p, q in zip(ours, theirs, strict=True):
            q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
        same(ours, theirs, 1e-10)


@pytest.mark.parametrize("num_parts", [2, 3])
def test_matrices_fused_in_one_parameter_move_apart(all_float64, num_parts, generator):
    """Beside torch's Muon on each; one of another number of parts and two of one shape are by."""
    ours = make_parameters([(7 * num_parts, 11), (7 * num_parts, 11), (11, 7)], generator)
    theirs = copies(part for p in ours[:2] for part in p.chunk(num_parts)) + copies(ours[2:])
    groups = [
        {"params": ours[:2], "num_parts": num_parts},
        {"params": ours[2:], "num_parts": 1},
    ]
    optimizer, reference = Muon(groups, **SETTINGS), torchs_muon(theirs)
    for _ in range(NUM_STEPS):
        give_gradients(ours, generator)
        parts = [part for p in ours[:2] for part in p.grad.chunk(num_parts)] + [ours[2].grad]
        for q, gradient in zip(theirs, parts, strict=True):
            q.grad = gradient.clone()
        optimizer.step()
        reference.step()
        same([part for p in ours[:2] for part in p.chunk(num_parts)] + ours[2:], theirs, 1e-10)


def test_queries_and_fewer_keys_and_values_move_apart(make_gpt, all_float64, generator):
    """The group of a model whose heads share keys, beside torch's Muon on each of the matrices."""
    groups = muon_groups(make_gpt(num_kv_heads=1), 0.1)
    (group,) = [group for group in groups if group.get("part_sizes")]
    sizes = group["part_sizes"]
    assert (group["num_parts"], sizes) == (3, [30, 10, 10])
    ours = make_parameters([(50, 30), (50, 30)], generator)
    theirs = copies(part for p in ours for part in p.split(sizes))
    made = Muon([{"params": ours, "num_parts": 3, "part_sizes": sizes}], **SETTINGS)
    reference = torchs_muon(theirs)
    for _ in range(NUM_STEPS):
        give_gradients(ours, generator)
        gradients = [part for p in ours for part in p.grad.split(sizes)]
        for q, gradient in zip(theirs, gradients, strict=True):
            q.grad = gradient.clone()
        made.step()
        reference.step()
        same([part for p in ours for part in p.split(sizes)], theirs, 1e-10)


def test_matrices_of_one_shape_or_its_transpose_share_one_product(all_float64, generator):
    batches = []
    one_by_one = [orthogonalize([m]) for m in make_parameters(SHAPES, generator)]
    together = orthogonalize(
        make_parameters(SHAPES, generator.manual_seed(0)),
        lambda x: batches.append(tuple(x.shape)) or newton_schulz(x),
    )
    assert sorted(batches) == [(1, 1, 13), (1, 30, 90), (2, 5, 11), (2, 7, 7)]
    same(together, [result for (result,) in one_by_one], 1e-10)


@pytest.mark.parametrize("polar", [newton_schulz, polar_express, zolotarev])
def test_a_gradient_of_zero_moves_nothing_but_the_decay(polar, generator):
    (parameter,) = make_parameters([(5, 7)], generator)
    start = parameter.detach().clone()
    parameter.grad = torch.zeros_like(parameter)
    Muon([{"params": [parameter], "num_parts": 1}], polar=polar, **SETTINGS).step()
    assert torch.equal(parameter, start * (1 - SETTINGS["lr"] * SETTINGS["weight_decay"]))


@pytest.mark.parametrize("fused", [True, False])
def test_the_others_move_as_with_torchs_adamw(fused, generator):
    ours = make_parameters([(13, 5), (7,), (3, 5, 2)], generator)
    theirs = copies(ours)
    optimizer = Muon([{"params": ours}], fused=fused, **SETTINGS, **ADAMW)
    reference = torch.optim.AdamW(theirs, fused=fused, **SETTINGS, **ADAMW)
    for _ in range(NUM_STEPS):
        give_gradients(ours, generator)
        for p, q in zip(ours, theirs, strict=True):
            q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
        same(ours, theirs)


def test_parameters_without_a_gradient_stay_and_have_no_state(generator):
    matrices = make_parameters([(5, 7), (5, 7)], generator)
    vectors = make_parameters([(7,), (7,)], generator)
    starts = [p.detach().clone() for p in (matrices[0], vectors[0])]
    optimizer = Muon([{"params": matrices, "num_parts": 1}, {"params": vectors}], **SETTINGS)
    optimizer.step()
    assert not any(optimizer.state.values())
    give_gradients([matrices[1], vectors[1]], generator)
    optimizer.step()
    same([matrices[0], vectors[0]], starts)
    assert {id(p) for p, s in optimizer.state.items() if s} == {id(matrices[1]), id(vectors[1])}


def test_a_closure_is_called_with_gradients_and_its_loss_returned(generator):
    (parameter,) = make_parameters([(5, 7)], generator)

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss

    before = parameter.square().sum().item()
    optimizer = Muon([{"params": [parameter], "num_parts": 1}], lr=0.01)
    assert optimizer.step(closure).item() == before
    assert parameter.square().sum().item() < before


def make_muon(model, bf16=False, **changes):
    settings = {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-8} | changes
    settings = OptimizerSettings(optimizer="muon", lr=0.02, **settings)
    return make_optimizer(model, settings, bf16=bf16)


@pytest.mark.parametrize(
    ("name", "polar"),
    [
        ({}, newton_schulz),
        ({"polar": "auto"}, polar_express),
        ({"polar": "polar_express"}, polar_express),
        ({"polar": "newton_schulz"}, newton_schulz),
        ({"polar": "zolotarev"}, zolotarev),
    ],
    ids=["default", "auto", "polar_express", "newton_schulz", "zolotarev"],
)
def test_muon_takes_the_way_it_is_told_on_any_number_of_threads(name, polar, make_gpt):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        optimizer = make_muon(make_gpt(), **name)
        assert isinstance(optimizer, Muon)
        assert optimizer.polar is polar
        give_gradients([p for g in optimizer.param_groups for p in g["params"]], torch.Generator())
        optimizer.step()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_inverses_in_bf16_and_unknown_ways_are_refused(make_gpt):
    with pytest.raises(ValueError, match="polar zolotarev does not go with bf16: give polar_"):
        make_muon(make_gpt(), bf16=True, polar="zolotarev")
    with pytest.raises(ValueError, match="newton_schulz, zolotarev, got 'newton'"):
        make_muon(make_gpt(), polar="newton")
    with pytest.raises(AssertionError):
        zolotarev(torch.ones(1, 2, 3, dtype=torch.bfloat16))


def test_a_loaded_state_goes_on_identically(make_gpt, tmp_path):
    """Through a file that is read with weights_only, with a schedule."""
    batches = torch.randint(13, (2 * NUM_STEPS, 3, 7), generator=torch.Generator().manual_seed(0))

    def take_steps(model, optimizer, schedule, tokens):
        for batch in tokens:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
            schedule.step()

    runs = []
    for _ in range(2):
        model = make_gpt(activation="swiglu", qk_norm=True, ngram_size=2)
        optimizer = make_muon(model)
        runs.append((model, optimizer, LambdaLR(optimizer, lambda step: 1 / (1 + step))))
    (model, *_), (again, *_) = runs
    take_steps(*runs[0], batches[:NUM_STEPS])
    torch.save([part.state_dict() for part in runs[0]], tmp_path / "state.pt")
    states = torch.load(tmp_path / "state.pt", weights_only=True)
    for part, state in zip(runs[1], states, strict=True):
        part.load_state_dict(state)
    for run in runs:
        take_steps(*run, batches[NUM_STEPS:])
    same(again.parameters(), model.parameters())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_blocks_matrices_are_muons_and_all_else_is_adamws(make_gpt, options):
    model = make_gpt(**options)
    parts = PARTS | ({"feedforward.input": 2} if options.get("activation") == "swiglu" else {})
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    groups = muon_groups(model, 0.1)
    for group in groups:
        assert group["weight_decay"] == (0.1 if group["num_parts"] else 0.0)
        found |= {names[id(p)]: group["num_parts"] for p in group["params"]}
    expected = dict.fromkeys(names.values(), 0)
    for block in range(2):
        for end, num_parts in parts.items():
            expected[f"blocks.{block}.{end}.weight"] = num_parts
    assert found == expected
    counts = Counter(id(p) for group in groups for p in group["params"])
    assert counts == Counter(names.keys())  # none is missing, none is there twice


@pytest.mark.parametrize("tied", [False, True])
def test_muon_moves_the_matrices_of_the_encoder_and_of_the_decoder(make_encoder_decoder, tied):
    """Each once, by how many are one below the other; neither embeddings nor the head."""
    sizes = {"shared_vocabulary": True, "source_vocab_size": 13} if tied else {}
    model = make_encoder_decoder(tie_weights=tied, positions="learned", **sizes)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [
        (names[id(p)], group["num_parts"])
        for group in muon_groups(model, 0.1)
        for p in group["params"]
    ]
    cross = {
        "cross_attention.query": 1,
        "cross_attention.key_value": 2,
        "cross_attention.output": 1,
    }
    expected = dict.fromkeys(names.values(), 0)
    for stack, parts in (("encoder", PARTS), ("decoder", PARTS | cross)):
        for block in range(2):
            for end, num_parts in parts.items():
                expected[f"{stack}_blocks.{block}.{end}.weight"] = num_parts
    assert sorted(found) == sorted(expected.items())


def test_a_model_without_blocks_is_adamws_alone():
    (group,) = muon_groups(Bigram(vocab_size=13, block_size=7), 0.1)
    assert group["num_parts"] == 0
    assert len(group["params"]) == 1
