"""generate.py as a user meets it: every flag, and any prompt."""

import contextlib
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import generate
from transformer.generation import text_output
from transformer.generation.text import load
from transformer.generation.text_output import SEPARATOR
from transformer.storage.model_file import load_model
from transformer.system.errors import UserError


@pytest.fixture(scope="module")
def model_path(finished):
    return finished.folder / "model.safetensors"


@pytest.fixture
def write(model_path, capsys):
    """generate.py in this process: gives stdout and stderr."""

    def call(*flags):
        assert generate.main([str(model_path), *map(str, flags)]) == 0
        return capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("flags", "keywords"),
    [
        (["--temperature", "0"], {"temperature": 0.0}),
        (["--top_k", "3"], {"top_k": 3, "temperature": 0.8}),
        (["--top_p", "0.6"], {"top_p": 0.6, "temperature": 0.8}),
        (["--min_p", "0.3"], {"min_p": 0.3, "temperature": 0.8}),
        (["--repetition_penalty", "1.5"], {"repetition_penalty": 1.5, "temperature": 0.8}),
        (["--stop", "e", "--stop", "th"], {"stop": ["e", "th"], "temperature": 0.8}),
        (["--max_new_tokens", "7"], {"max_new_tokens": 7, "temperature": 0.8}),
        (["--device", "cpu"], {"temperature": 0.8}),
    ],
    ids=str,
)
def test_a_flag_does_what_the_argument_of_its_name_does(write, model_path, flags, keywords):
    (text,) = load(model_path, "cpu").generate(
        "To ", **{"max_new_tokens": 40, "seed": 3} | keywords
    )
    flags = ["--prompt", "To ", "--max_new_tokens", 40, "--seed", 3, *flags]
    assert write(*flags).out == f"{text}\n"


def test_a_cache_folder_that_cannot_be_used_is_named_once_and_not_on_stdout(
    run, model_path, tmp_path
):
    (tmp_path / "a_file").write_text("not a folder")
    flags = ["--prompt", "To ", "--num_samples", 2, "--max_new_tokens", 5, "--seed", 1]
    result = run("generate.py", model_path, *flags, "--cache_dir", "a_file", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "cannot be used" in line]
    (line,) = lines  # for several questions
    assert line.startswith("a_file: ")
    assert "so another run may choose otherwise; give --cache_dir" in line
    assert [text[:3] for text in result.stdout.split(f"\n{SEPARATOR}\n")] == ["To ", "To "]
    assert "cannot" not in result.stdout


@pytest.mark.parametrize("num_samples", [1, 16])
def test_a_given_float32_writes_nothing_to_the_cache_folder(write, tmp_path, num_samples):
    flags = ["--num_samples", num_samples, "--max_new_tokens", 3, "--cache_dir", tmp_path / "cache"]
    write(*flags, "--precision", "float32")
    assert not (tmp_path / "cache").exists()


def test_json_has_one_object_a_sample(write, model_path):
    flags = ["--prompt", "To ", "--num_samples", 3, "--max_new_tokens", 9, "--seed", 3, "--json"]
    samples = [json.loads(line) for line in write(*flags).out.splitlines()]
    generator = load(model_path, "cpu", num_rows=3)
    texts = generator.generate("To ", num_samples=3, max_new_tokens=9, temperature=0.8, seed=3)
    assert [sample["prompt"] + sample["text"] for sample in samples] == texts
    for sample in samples:
        assert sample["tokens"] == generator.tokenizer.encode(sample["text"]).tolist()
        assert len(sample["log_probabilities"]) == 9
        assert all(score < 0 for score in sample["log_probabilities"])
        assert sample["seed"] == 3


def test_log_probabilities_are_those_of_the_model_whatever_the_sampler_does(
    write, model_path, same_logits
):
    """Beside one uncached pass; the context is 16, so all fits."""
    flags = ["--prompt", "To ", "--max_new_tokens", 9, "--top_k", 2, "--temperature", 3, "--json"]
    sample = json.loads(write(*flags, "--precision", "float32").out)
    saved = load_model(model_path)
    import torch

    tokens = torch.tensor([[*saved.tokenizer.encode("To ").tolist(), *sample["tokens"]]])
    logits = saved.model(tokens)[0].log_softmax(dim=-1)
    expected = [logits[2 + i, token].item() for i, token in enumerate(sample["tokens"])]
    same_logits(torch.tensor(sample["log_probabilities"]), torch.tensor(expected), saved.model)


def test_split_lines_makes_a_prompt_of_each_line(write, model_path, tmp_path):
    (tmp_path / "p.txt").write_text("To be\nWhether 'tis nobler\n\nAnd\n", encoding="utf-8")
    flags = ["--prompt_file", tmp_path / "p.txt", "--max_new_tokens", 20, "--temperature", 0]
    texts = write(*flags, "--split_lines").out.split(f"\n{SEPARATOR}\n")
    generator = load(model_path, "cpu", num_rows=4)
    prompts = ["To be", "Whether 'tis nobler", "", "And"]
    expected = [
        generator.generate(prompt, max_new_tokens=20, temperature=0.0)[0] for prompt in prompts
    ]
    assert texts == [*expected[:3], f"{expected[3]}\n"]
    assert write(*flags).out.startswith("To be\nWhether 'tis nobler\n\nAnd")


def test_info_as_json_is_all_that_the_checkpoint_holds(write, finished, model_path):
    facts = json.loads(write("--info", "--json").out)
    assert facts["parameters"] == finished.summary["num_parameters"]
    assert facts["architecture"]["num_blocks"] == 1
    assert facts["corpus"]["sha256"] == finished.summary["corpus_sha256"]
    assert facts["results"]["val_loss"] == finished.summary["val_loss"]
    assert facts["config"]["batch_size"] == 7
    assert facts["tokenizer"]["vocab_size"] == facts["architecture"]["vocab_size"]


def test_info_is_the_essentials_in_a_few_lines(write, finished, model_path):
    lines = write("--info").out.splitlines()
    assert len(lines) <= 8
    assert lines[0] == f"checkpoint:   {model_path}"
    assert lines[1] == f"model:        gpt, {finished.summary['num_parameters']:,} parameters"
    assert "," in lines[1].removeprefix("model:        gpt, ")  # 1,234 and no 1234
    assert "block_size 16, embedding_dim 22, num_heads 2, num_blocks 1" in lines[2]
    assert f"val_loss {finished.summary['val_loss']:.5g}" in lines[4]
    assert lines[5].startswith("trained on:   hamlet.txt, 1,")


@pytest.mark.parametrize("flags", [["--info"], ["--info", "--json"], ["--json", "--info"]])
def test_a_switch_before_the_file_leaves_the_file_alone(model_path, capsys, flags):
    assert generate.main([*flags, str(model_path)]) == 0
    assert str(model_path) in capsys.readouterr().out


def test_verbose_says_how_fast_on_stderr(write):
    captured = write("--verbose", "--prompt", "To be", "--max_new_tokens", 20)
    line = captured.err.splitlines()[-1]
    assert line.startswith("prompt: ")
    assert "decoding: " in line
    assert line.endswith(" tokens/s")
    assert captured.out.startswith("To be")


def test_verbose_says_the_number_format_and_why_and_other_calls_do_not(write, tmp_path):
    flags = ["--cache_dir", tmp_path, "--max_new_tokens", 7, "--device", "cpu"]
    said = [line for line in write("--verbose", *flags).err.splitlines() if "precision" in line]
    assert len(said) == 1
    assert re.fullmatch(
        r"precision: \w+, \d+\.\d x as fast as \w+ here(; .+ may choose otherwise)?", said[0]
    )
    assert said[0] in write("--verbose", *flags).err.splitlines()  # from the cache folder
    assert (tmp_path / "speeds.json").exists()
    assert "precision" not in write(*flags).err
    assert "precision: bf16\n" in write("--verbose", *flags, "--precision", "bf16").err


@pytest.mark.parametrize(
    ("flags", "rows"),
    [([], 1), (["--num_samples", 13], 16), (["--prompt_file", "p.txt", "--split_lines"], 8)],
)
def test_the_format_is_chosen_for_as_many_texts_as_are_written(
    write, tmp_path, monkeypatch, flags, rows
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("To\n" * 7, encoding="utf-8")
    write("--cache_dir", "speeds", "--max_new_tokens", 2, "--device", "cpu", *flags)
    known = json.loads((tmp_path / "speeds" / "speeds.json").read_text(encoding="utf-8"))
    (question,) = [question for question in known if question.startswith("writing and sampling, ")]
    assert question.startswith(f"writing and sampling, {rows} rows, ")


@pytest.mark.parametrize("more", [[], ["--json"], ["--num_samples", "2"]])
def test_the_speed_is_said_on_a_line_of_its_own(model_path, monkeypatch, more):
    """On a terminal both streams are one."""
    written = []
    monkeypatch.setattr(generate, "show", written.append)
    monkeypatch.setattr(text_output, "say", lambda line: written.append(f"{line}\n"))
    flags = ["--verbose", str(model_path), "--prompt", "To be", "--max_new_tokens", "7", *more]
    assert generate.main(flags) == 0
    *_, text_end, last = "".join(written).splitlines(keepends=True)
    assert last.startswith("prompt: ")
    assert "tokens/s" not in text_end


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--skip_bad_lines"], "--skip_bad_lines needs --split_lines"),
        (["--split_lines"], "--split_lines needs a --prompt_file"),
        (["--interactive", "--prompt", "a"], "leave --prompt out"),
        (["--interactive", "--verbose"], "leave --verbose out"),
        (["--interactive", "--num_samples", "2"], "leave --num_samples out"),
        (["--stop", ""], "a stop text must have at least one character"),
        (["--min_p", "2"], "min_p must be at most 1"),
        (["--repetition_penalty", "0"], "repetition_penalty must be at least 0.001"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(model_path, flags, message):
    with pytest.raises(UserError, match=message):
        generate.main([str(model_path), *flags])


@pytest.mark.slow
@given(prompt=st.text(max_size=40))
@settings(max_examples=60)
def test_any_prompt_is_answered_or_refused_in_one_line(model_path, capsys, prompt):
    """Any Unicode, with and without --skip_unknown."""
    flags = [str(model_path), f"--prompt={prompt}", "--max_new_tokens", "2"]
    known = set(load_model(model_path).tokenizer.vocabulary)
    if set(prompt) <= known:
        assert generate.main(flags) == 0
    else:
        with pytest.raises(UserError, match="the model never saw"):
            generate.main(flags)
    capsys.readouterr()
    assert generate.main([*flags, "--skip_unknown"]) == 0
    kept = "".join(c for c in prompt if c in known)
    assert capsys.readouterr().out.startswith(kept or "\n")


def test_logits_that_are_not_finite_name_the_checkpoint_and_no_text_is_made(
    model_path, tmp_path, capsys
):
    """Numbers of 3e38 are finite in the file; the sum of a few is not."""
    from transformer.storage.model_file import save_model

    saved = load_model(model_path)
    saved.model.final_norm.weight.data.fill_(3e38)
    saved.model.final_norm.bias.data.fill_(3e38)
    metadata = {"architecture": saved.architecture, "tokenizer": saved.tokenizer.state}
    save_model(tmp_path / "spoiled.safetensors", saved.model, metadata)
    with pytest.raises(UserError, match=r"spoiled\.safetensors: the model's logits are not finite"):
        generate.main([str(tmp_path / "spoiled.safetensors"), "--prompt", "To"])
    assert capsys.readouterr().out == ""


def test_random_flags_never_make_a_traceback(model_path, capsys):
    """Values at and beyond every bound, put together at random."""
    values = {
        "temperature": ("0", "1e-9", "5", "-1", "nan", "x"),
        "top_k": ("1", "10000", "0", "none"),
        "top_p": ("1e-9", "1", "0", "2"),
        "min_p": ("0", "1", "-1"),
        "repetition_penalty": ("1e-3", "100", "0"),
        "num_samples": ("1", "3", "0"),
        "stop": ("e", "\n", ""),
        "seed": ("0", "99999999999999999999", "-1"),
    }
    draw = random.Random(0)
    for _ in range(60):
        flags = [str(model_path), "--max_new_tokens", "3", "--prompt", "To"]
        for name in draw.sample(list(values), 3):
            flags.append(f"--{name}={draw.choice(values[name])}")
        with contextlib.suppress(UserError):
            assert generate.main(flags) == 0
    assert capsys.readouterr().out
