"""What a run chooses by measuring: from times that are given, and from this machine's own."""

from functools import partial

import pytest
import torch

from transformer.config.files import load_config
from transformer.models import build_model
from transformer.models.parts.attention import (
    attention,
    fused_attention,
    use_attention,
)
from transformer.run.assembly import records_steps
from transformer.run.settling import all_threads, settle
from transformer.system import speed
from transformer.system.errors import UserError
from transformer.training import choices
from transformer.training.choices import WORTH_CHANGING, WORTH_FEWER_THREADS, Chooser
from transformer.training.optimization.polar import FAST_POLARS

SHAPE = {"heads": 2, "length": 8, "head_dim": 4, "dropout": 0.1, "bf16": False}
MATRICES = {"width": 32, "feedforward_dim": 88, "bf16": False}
# Of each question: how it is asked of a Chooser, the plain choice, and another.
QUESTIONS = {
    "precision": (lambda chooser, given: chooser.precision(given, 32), "float32", "bf16"),
    "attention": (lambda chooser, given: chooser.attention(given, **SHAPE), "fused", "explicit"),
    "polar": (lambda chooser, given: chooser.polar(given, **MATRICES), *FAST_POLARS),
    "threads": (lambda chooser, given: chooser.num_threads(given, 32), "2", "1"),
}
each_question = pytest.mark.parametrize("question", QUESTIONS)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    all_threads.cache_clear()
    yield
    torch.set_num_threads(before)
    all_threads.cache_clear()


@pytest.fixture
def take(monkeypatch):
    """`take(explicit=2.0)`: every other way takes a second."""

    def pretend(**seconds):
        monkeypatch.setattr(
            choices,
            "seconds_of",
            lambda _, ways, *__, **___: {way: seconds.get(way, 1.0) for way in ways},
        )

    return pretend


@each_question
@pytest.mark.parametrize("seconds", [0.5, 0.9, 0.99, 1.01, 47.0])
def test_auto_is_what_is_faster_here_if_that_is_worth_a_change(take, question, seconds):
    ask, plain, other = QUESTIONS[question]
    take(**{other: seconds})
    chosen = ask(Chooser(accelerator="cpu"), "auto")
    least = WORTH_FEWER_THREADS if question == "threads" else WORTH_CHANGING
    if seconds < 1 / least:
        assert chosen == (other, f"{1 / seconds:.1f} x as fast as {plain} here")
    else:
        assert chosen == (plain, f"{seconds:.1f} x as fast as {other} here")


@pytest.mark.parametrize(
    ("accelerator", "dropout", "wanted"),
    [("cpu", 0.0, "fused"), ("cpu", 0.1, "explicit"), ("cuda", 0.1, "fused")],
)
def test_long_texts_take_torchs_kernel_where_it_needs_less_memory(
    monkeypatch, accelerator, dropout, wanted
):
    """On a CPU it computes every weight too, if there is dropout: nothing is measured."""
    monkeypatch.setattr(choices, "seconds_of", None)
    shape = SHAPE | {"length": choices.LONGEST + 1, "dropout": dropout}
    assert Chooser(accelerator=accelerator).attention("auto", **shape).name == wanted


@each_question
def test_what_is_given_asks_nothing(monkeypatch, question):
    ask, plain, other = QUESTIONS[question]
    monkeypatch.setattr(choices, "seconds_of", None)
    for name in (plain, other):
        assert ask(Chooser(accelerator="cpu"), name) == (name, "")


@each_question
def test_several_machines_and_processes_without_a_common_answer_take_the_plain_one(
    question, tmp_path, monkeypatch
):
    ask, plain, _ = QUESTIONS[question]
    assert ask(Chooser(accelerator="cpu", num_nodes=2), "auto").name == plain
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    blocked = partial(Chooser, accelerator="cpu", cache_dir=str(tmp_path / "file"))
    assert ask(blocked(devices=2), "auto").name == plain
    if question != "threads":  # which several processes divide among them
        assert ask(blocked(devices=2), "auto").why == "which all processes can take"
    assert ask(blocked(), "auto").why.endswith(" here")


@each_question
def test_a_gpu_is_not_timed(monkeypatch, question):
    monkeypatch.setattr(choices, "seconds_of", None)
    monkeypatch.setattr(choices, "has_bf16", lambda accelerator: True)
    ask, *_ = QUESTIONS[question]
    wanted = {"precision": "bf16", "attention": "fused", "polar": "polar_express", "threads": "2"}
    assert ask(Chooser(accelerator="cuda"), "auto") == (wanted[question], "")


def test_muon_multiplies_in_bf16_without_being_timed(monkeypatch):
    monkeypatch.setattr(choices, "seconds_of", None)
    ways = MATRICES | {"bf16": True}
    assert Chooser(accelerator="cpu").polar("auto", **ways) == ("polar_express", "")


@pytest.mark.parametrize(
    ("sizes", "shapes"),
    [
        ((32, 88), {(32, 32), (32, 88)}),
        ((32, 8), {(32, 32), (8, 32)}),
        ((512, 2048), {(256, 256), (256, 1024)}),  # wide ones would take long
    ],
    ids=str,
)
def test_matrices_of_the_models_shapes_are_timed(monkeypatch, sizes, shapes):
    seen = set()

    def remember(x):
        seen.add(tuple(x.shape))

    monkeypatch.setattr(choices, "POLARS", dict.fromkeys(choices.FAST_POLARS, remember))

    def seconds(question, ways, *_, **__):
        for work in ways.values():
            work(3)
        return dict.fromkeys(ways, 1.0)

    monkeypatch.setattr(choices, "seconds_of", seconds)
    width, feedforward_dim = sizes
    Chooser(accelerator="cpu").polar(
        "auto", width=width, feedforward_dim=feedforward_dim, bf16=False
    )
    assert seen == {(3, *shape) for shape in shapes}


@each_question
def test_both_ways_are_timed_here_once_and_no_random_number_is_used_up(
    question, tmp_path, monkeypatch
):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)
    ask, plain, other = QUESTIONS[question]
    before = torch.get_rng_state()
    chosen = ask(Chooser(accelerator="cpu", cache_dir=str(tmp_path)), "auto")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 2
    assert chosen.name in (plain, other)
    assert ask(Chooser(accelerator="cpu", cache_dir=str(tmp_path)), "auto") == chosen


def test_all_threads_look_whether_their_cores_are_free(tmp_path, monkeypatch):
    """The last candidate has one; a program on the other core would not be seen."""
    looked = []

    def look():
        looked.append(torch.get_num_threads())
        return True

    monkeypatch.setattr(speed, "cores_are_free", look)
    Chooser(accelerator="cpu", cache_dir=str(tmp_path)).num_threads("auto", 32)
    assert looked == [2, 2]


KEYS = """\
batch_size: 2
epochs: 1
lr: 1e-3
data_path: corpus.txt
block_size: 8
num_heads: 2
embedding_dim: 16
num_blocks: 1
num_workers: 0
accelerator: cpu
"""


@pytest.mark.parametrize("model", ["gpt", "encoder_decoder", "bigram"])
def test_the_choices_are_recorded_in_the_config_and_said(take, tmp_path, caplog, model):
    caplog.set_level("INFO")
    take(**{"explicit": 0.5, "1": 0.25, "bf16": 0.1})
    (tmp_path / "config.yaml").write_text(KEYS + f"model: {model}\n", encoding="utf-8")
    config = settle(load_config(tmp_path / "config.yaml"))
    assert (config.precision, config.num_threads) == ("bf16", 1)
    assert torch.get_num_threads() == 1
    assert "num_threads: 1, 4.0 x as fast as 2 here" in caplog.messages
    assert "precision: bf16, 10.0 x as fast as float32 here" in caplog.messages
    has_attention = model != "bigram"
    assert config.attention == ("explicit" if has_attention else "auto")
    caplog.clear()
    assert settle(config) == config  # what is recorded asks nothing
    assert caplog.messages == []


def test_the_way_of_muon_is_recorded_said_and_kept(take, tmp_path, caplog):
    caplog.set_level("INFO")
    take(zolotarev=0.5)
    path = tmp_path / "config.yaml"
    path.write_text(KEYS, encoding="utf-8")
    assert settle(load_config(path)).polar == "auto"  # AdamW has no use for it
    config = settle(load_config(path, {"optimizer": "muon", "precision": "float32"}))
    assert config.polar == "zolotarev"
    assert caplog.messages[-1] == "polar: zolotarev, 2.0 x as fast as polar_express here"
    take(zolotarev=2.0)
    caplog.clear()
    assert settle(config) == config
    assert caplog.messages == []
    assert settle(config.model_copy(update={"polar": "auto"})).polar == "polar_express"


def test_inverses_in_bf16_are_refused_with_a_way_out(tmp_path):
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    changes = {"optimizer": "muon", "precision": "bf16", "polar": "zolotarev", "num_threads": 1}
    wanted = "polar zolotarev needs a CPU and precision float32, and precision is bf16: give polar_"
    with pytest.raises(UserError, match=wanted):
        settle(load_config(tmp_path / "config.yaml", changes))


def test_a_model_attends_as_it_is_told():
    sizes = {"vocab_size": 13, "block_size": 8, "embedding_dim": 16, "num_heads": 2}
    model = build_model("encoder_decoder", **sizes, source_vocab_size=13, num_blocks=1)
    found = [part for part in model.modules() if hasattr(part, "attend")]
    assert len(found) == 3
    assert {part.attend for part in found} == {fused_attention}
    use_attention(model, "explicit")
    assert {part.attend for part in found} == {attention}


def test_a_later_run_of_the_process_chooses_among_all_threads_again(take, tmp_path):
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    config = load_config(tmp_path / "config.yaml")
    take(**{"1": 0.1})
    assert settle(config).num_threads == torch.get_num_threads() == 1
    take(**{"1": 10.0})
    assert settle(config).num_threads == torch.get_num_threads() == 2


def test_one_thread_of_a_small_machine_is_recorded_and_kept_on_a_larger_one(take, tmp_path):
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    take()
    torch.set_num_threads(1)
    config = settle(load_config(tmp_path / "config.yaml"))
    assert config.num_threads == 1
    all_threads.cache_clear()
    torch.set_num_threads(2)
    assert settle(config).num_threads == torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, True),
        ({"strategy": "ddp"}, False),
        ({"precision": "fp16"}, False),
        ({"accumulate_grad_batches": 2}, False),
        ({"activation_checkpointing": True}, False),
    ],
    ids=str,
)
def test_only_the_plain_steps_of_one_gpu_are_recorded(tmp_path, monkeypatch, changes, recorded):
    (tmp_path / "config.yaml").write_text(KEYS, encoding="utf-8")
    config = load_config(tmp_path / "config.yaml", changes)
    one_gpu = {"accelerator": "cuda", "devices": 1, "num_nodes": 1}
    assert records_steps(config, one_gpu, shapes_vary=False) is recorded
    assert not records_steps(config, one_gpu, shapes_vary=True)
    assert not records_steps(config, one_gpu | {"devices": 2}, shapes_vary=False)
    assert not records_steps(config, one_gpu | {"accelerator": "cpu"}, shapes_vary=False)
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    assert not records_steps(config, one_gpu, shapes_vary=False)
