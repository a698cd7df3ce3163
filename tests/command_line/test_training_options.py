"""What single keys do to a run: texts of any script, seeds, workers, limits, models."""

import math
import re

import pytest
import torch
from safetensors.torch import load_file

from tests.marks import first_fast

BOM = "\ufeff"

OWN_TEXTS = {
    "chinese": "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。寒來暑往，秋收冬藏。\n" * 20,
    "hindi": "धर्मक्षेत्रे कुरुक्षेत्रे समवेता युयुत्सवः।\nमामकाः पाण्डवाश्चैव किमकुर्वत सञ्जय॥\n" * 8,
    "greek": "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος\nοὐλομένην, ἣ μυρί' Ἀχαιοῖς ἄλγε' ἔθηκε\n" * 8,
    "emoji": "so happy 😀👩‍👩‍👧 today 🇮🇳 …\n" * 20,
    "windows line ends": "Call me Ishmael.\r\nSome years ago, never mind how long.\r\n" * 10,
    "a byte order mark": BOM + "Call me Ishmael.\nSome years ago, never mind how long.\n" * 10,
    "no line ends": "call me ishmael some years ago never mind how long " * 10,
}


def tensors_of(folder):
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("text", first_fast(OWN_TEXTS.values(), 2), ids=OWN_TEXTS.keys())
def test_own_text_of_any_script_trains_and_generates(
    train_here, summary_of, tmp_path, capsys, text
):
    from transformer.generation.text import load

    (tmp_path / "own.txt").write_bytes(text.encode("utf-8"))
    folder = train_here(data_path="own.txt", max_steps=3, sample_prompt="\n")
    read = text.removeprefix(BOM).replace("\r\n", "\n")
    symbols = set(read)
    generator = load(folder / "model.safetensors", "cpu")
    assert set(generator.tokenizer.vocabulary) == symbols
    prompt = read[:7]
    assert set(generator.generate(prompt, max_new_tokens=9)[0]) <= symbols
    assert abs(summary_of(folder)["val_loss"] - math.log(len(symbols))) < 1
    said = capsys.readouterr().out
    assert f"own.txt: {len(read):,} characters, {len(symbols)} symbols" in said
    assert (f"{text.count(chr(13)):,} CRLF read as LF" in said) == ("\r" in text)


@pytest.mark.slow
def test_a_sample_in_chinese_prints_on_a_console_of_another_code_page(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    (tmp_path / "own.txt").write_text(OWN_TEXTS["chinese"], encoding="utf-8")
    flags = "--config tiny.yaml --data_path own.txt --max_steps 1".split()
    result = run("train.py", *flags, cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert result.returncode == 0, result.stderr
    assert "next:" in result.stdout


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(train_here):
    from transformer.generation.text import load

    first, second, other = (train_here(max_steps=5, dropout=0.1, seed=s) for s in (1, 1, 2))
    assert tensors_of(first) == tensors_of(second)
    assert tensors_of(first) != tensors_of(other)
    texts = [load(f / "model.safetensors", "cpu").generate("To") for f in (first, second, other)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.slow
def test_worker_processes_change_nothing_in_the_weights(run, tmp_path, write_inputs):
    write_inputs(tmp_path)
    for name, workers in (("zero", 0), ("two", 2)):
        flags = f"--config tiny.yaml --max_steps 9 --run_name {name} --num_workers {workers}"
        result = run("train.py", *flags.split(), cwd=tmp_path, python=("-W", "error::UserWarning"))
        assert result.returncode == 0, result.stderr
        assert "warn" not in (result.stdout + result.stderr).lower()
    zero, two = (tmp_path / "runs" / name / "version_0" for name in ("zero", "two"))
    assert tensors_of(zero) == tensors_of(two)


@pytest.mark.parametrize(
    ("num_devices", "expected"),
    [
        (1, "num_workers: 5, one per core, instead of 12"),
        (2, "num_workers: 2 per device, one per core, instead of 12"),
        (7, "num_workers: 1 per device, one per core, instead of 12"),
    ],
)
def test_more_workers_than_cores_are_capped_in_one_line(
    train_here, monkeypatch, caplog, num_devices, expected
):
    from transformer.config.files import load_config
    from transformer.data.text.corpus import Corpus
    from transformer.run.assembly import build_task

    caplog.set_level("INFO")
    monkeypatch.setattr("transformer.run.assembly.available_cores", lambda: 5)
    config = load_config("tiny.yaml", {"num_workers": 12})
    task = build_task(config, Corpus.from_file("hamlet.txt"), num_devices)
    assert task.data.num_workers == max(1, 5 // num_devices)
    assert [record.getMessage() for record in caplog.records] == [expected]


@pytest.mark.slow
def test_max_minutes_stops_a_long_run_and_the_schedule_ends_with_it(train_here, summary_of):
    changes = {"epochs": 10**6, "max_steps": 10**6, "val_every_steps": 10**6}
    folder = train_here(**changes, max_minutes=0.06)
    summary = summary_of(folder)
    assert 1 <= summary["step"] < 10**5
    assert summary["best_step"] == summary["step"]  # validated where it stopped
    # 3.6 s less what the end may take; the machine may stall, but not tenfold.
    assert 1.8 <= summary["elapsed_seconds"] < 30


def test_patience_stops_a_run_that_gets_no_better(train_here, summary_of):
    # At this rate the second validation is worse than the first, and so are the next two.
    folder = train_here(lr=30, schedule="constant", patience=2, val_every_steps=2, max_steps=500)
    summary = summary_of(folder)
    assert summary["best_step"] + 2 * 2 == summary["step"] < 500


def test_accumulated_batches_make_one_step(train_here, summary_of, float32_bound):
    """A step of 2 x 7 chunks does what a step of 14 does, up to the order of float32 sums."""
    # With so large an eps AdamW does not divide by tiny gradients, of which rounding leaves little.
    same = {"max_steps": 4, "eps": 1.0, "grad_clip": 0}
    one = train_here(batch_size=14, **same)
    two = train_here(batch_size=7, accumulate_grad_batches=2, **same)
    first, second = summary_of(one), summary_of(two)
    assert first["step"] == second["step"] == 4
    assert first["corpus_passes"] == second["corpus_passes"]
    a, b = (load_file(folder / "model.safetensors") for folder in (one, two))
    largest = max(tensor.abs().max().item() for tensor in a.values())
    bound = float32_bound(14 * 16, largest)  # a gradient is a sum over chunks and positions
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name], rtol=0, atol=bound)


def test_a_bigram_model_goes_the_same_way(train_here, summary_of):
    from transformer.generation.text import load

    folder = train_here(model="bigram", max_steps=20, lr=0.3)
    model = load(folder / "model.safetensors", "cpu").model
    assert model.architecture["model"] == "bigram"
    assert summary_of(folder)["num_parameters"] == model.architecture["vocab_size"] ** 2
    assert summary_of(folder)["val_loss"] < math.log(model.architecture["vocab_size"]) - 0.5


@pytest.mark.slow
def test_automatic_validation_trains_most_of_the_time_and_validates_at_the_end(
    train_here, summary_of, caplog
):
    caplog.set_level("INFO")
    folder = train_here(val_every_steps="auto", max_steps=70)
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("step ")]
    assert lines[-1].startswith("step 70: ")
    assert 1 <= len(lines) <= 50
    assert summary_of(folder)["step"] == 70


def test_the_nine_keys_alone_are_a_config(train_here, summary_of, tmp_path):
    (tmp_path / "nine.yaml").write_text(
        "batch_size: 256\nepochs: 2\nlr: 3e-4\ndata_path:  './data/input.txt'\nblock_size: 256\n"
        "num_heads: 8\nembedding_dim: 512\nnum_blocks: 6\nnum_workers: 12\n"
    )
    sizes = {"batch_size": 7, "block_size": 16, "num_heads": 2, "embedding_dim": 22}
    sizes |= {"num_blocks": 1, "num_workers": 0, "max_steps": 2, "data_path": "hamlet.txt"}
    folder = train_here("nine.yaml", **sizes, accelerator="cpu")
    assert summary_of(folder)["step"] == 2
    assert folder.parts[-3:] == ("runs", "gpt", "version_0")


def test_epochs_are_a_number_of_steps_with_nothing_dropped(train_here, summary_of, tmp_path):
    text = (tmp_path / "hamlet.txt").read_text()
    chunks = (int(0.9 * len(text)) - 17) // 16 + 1
    folder = train_here(stride="block_size", epochs=3, max_steps=None)
    assert summary_of(folder)["step"] == math.ceil(3 * chunks / 7)


def test_fewer_chunks_than_a_batch_still_train(train_here, summary_of, tmp_path):
    (tmp_path / "short.txt").write_text("To be, or not to be.\n" * 9)
    folder = train_here(data_path="short.txt", batch_size=500, epochs=9, max_steps=2)
    assert summary_of(folder)["step"] == 2


@pytest.mark.slow
def test_profile_writes_a_trace_that_names_the_products(start_anew, write_inputs, tmp_path):
    write_inputs(tmp_path)
    result = start_anew(
        "train.py", "--config", "tiny.yaml", "--max_steps", "12", "--profile", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    traces = list((tmp_path / "runs" / "tiny" / "version_0").glob("*.pt.trace.json"))
    assert traces
    assert any('"aten::addmm"' in path.read_text(encoding="utf-8") for path in traces)


def test_samples_of_another_text_start_as_its_own_lines_do(train_here, tmp_path, capsys):
    """tiny.yaml's sample_prompt is for Hamlet; the suggested command starts alike."""
    from transformer.config.files import load_config

    text = "Call me Ishmael.\nSome years ago.\nCall it chance.\nNever mind.\n" * 20
    (tmp_path / "own.txt").write_text(text, encoding="utf-8")
    folder = train_here(data_path="own.txt", max_steps=2)
    assert load_config(folder / "config.yaml").sample_prompt == "Call"
    said = capsys.readouterr().out
    assert "\n\nCall" in said
    assert re.search(r"generate\.py .* --prompt [\"']?Call[\"']?\n", said)


def test_a_resumed_run_keeps_its_prompt_where_its_text_was_moved(
    train_here, tmp_path, monkeypatch, caplog
):
    import train
    from transformer.config.files import load_config

    folder = train_here(max_steps=2)
    (tmp_path / "hamlet.txt").rename(tmp_path / "moved.txt")
    flags = ["--resume", str(folder), "--data_path", "moved.txt", "--max_steps", "4"]
    arguments = train.parse_arguments(flags)
    with caplog.at_level("INFO"):
        train.train(arguments.config, arguments.resume[0])
    assert load_config(folder / "config.yaml").sample_prompt == "To "
    (said,) = [line for line in caplog.messages if "changed on resuming" in line]
    assert "sample_prompt" not in said
