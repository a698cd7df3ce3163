"""generate.py as a user meets it: every flag, terminals, pipes, Ctrl+C, any prompt."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import generate
from transformer.checkpoint import load_model
from transformer.errors import UserError
from transformer.generation.text import load

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell and terminals")


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


# A process that is started in the background of a shell, as tests may be, does not hear Ctrl+C.
HEARS_CTRL_C = """\
import pathlib, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def start(model_path, environment, tmp_path):
    """generate.py as a process of its own, with a terminal for stdout where one is given."""
    processes = []

    def call(*flags, **streams):
        command = [sys.executable, "-c", HEARS_CTRL_C, ROOT / "generate.py", model_path]
        command += map(str, flags)
        streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | streams
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **streams))
        return processes[-1]

    yield call
    for process in processes:
        process.kill()
        process.communicate()


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


def test_json_has_one_object_a_sample(write, model_path):
    flags = ["--prompt", "To ", "--num_samples", 3, "--max_new_tokens", 9, "--seed", 3, "--json"]
    samples = [json.loads(line) for line in write(*flags).out.splitlines()]
    generator = load(model_path, "cpu")
    texts = generator.generate("To ", num_samples=3, max_new_tokens=9, temperature=0.8, seed=3)
    assert [sample["prompt"] + sample["text"] for sample in samples] == texts
    for sample in samples:
        assert sample["tokens"] == generator.tokenizer.encode(sample["text"]).tolist()
        assert len(sample["log_probabilities"]) == 9
        assert all(score < 0 for score in sample["log_probabilities"])
        assert sample["seed"] == 3


def test_log_probabilities_are_those_of_the_model_whatever_the_sampler_does(write, model_path):
    """Beside one uncached pass; the context is 16, so all fits."""
    flags = ["--prompt", "To ", "--max_new_tokens", 9, "--top_k", 2, "--temperature", 3, "--json"]
    sample = json.loads(write(*flags).out)
    saved = load_model(model_path)
    import torch

    tokens = torch.tensor([[*saved.tokenizer.encode("To ").tolist(), *sample["tokens"]]])
    logits = saved.model(tokens)[0].log_softmax(dim=-1)
    expected = [logits[2 + i, token].item() for i, token in enumerate(sample["tokens"])]
    assert sample["log_probabilities"] == pytest.approx(expected, abs=1e-5)


def test_split_lines_makes_a_prompt_of_each_line(write, model_path, tmp_path):
    (tmp_path / "p.txt").write_text("To be\nWhether 'tis nobler\n\nAnd\n", encoding="utf-8")
    flags = ["--prompt_file", tmp_path / "p.txt", "--max_new_tokens", 20, "--temperature", 0]
    texts = write(*flags, "--split_lines").out.split(f"\n{generate.SEPARATOR}\n")
    generator = load(model_path, "cpu")
    prompts = ["To be", "Whether 'tis nobler", "", "And"]
    expected = [
        generator.generate(prompt, max_new_tokens=20, temperature=0.0)[0] for prompt in prompts
    ]
    assert texts == [*expected[:3], f"{expected[3]}\n"]
    assert write(*flags).out.startswith("To be\nWhether 'tis nobler\n\nAnd")


def test_info_says_what_the_checkpoint_is(write, finished, model_path):
    facts = yaml.safe_load(write("--info").out)
    assert facts["parameters"] == finished.summary["num_parameters"]
    assert facts["architecture"]["num_blocks"] == 1
    assert facts["corpus"]["sha256"] == finished.summary["corpus_sha256"]
    assert facts["results"]["val_loss"] == finished.summary["val_loss"]
    assert facts["config"]["batch_size"] == 7
    assert facts["tokenizer"]["vocab_size"] == facts["architecture"]["vocab_size"]
    assert json.loads(write("--info", "--json").out) == facts


def test_verbose_says_how_fast_on_stderr(write):
    captured = write("--verbose", "--prompt", "To be", "--max_new_tokens", 20)
    line = captured.err.splitlines()[-1]
    assert line.startswith("prompt: ")
    assert "decoding: " in line
    assert line.endswith(" tokens/s")
    assert captured.out.startswith("To be")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split_lines"], "--split_lines needs a --prompt_file"),
        (["--interactive", "--prompt", "a"], "leave --prompt out"),
        (["--interactive", "--verbose"], "leave --verbose out"),
        (["--interactive", "--num_samples", "2"], "leave --num_samples out"),
        (["--stop", ""], "a stop text must hold one character at least"),
        (["--min_p", "2"], "min_p must be at most 1"),
        (["--repetition_penalty", "0"], "repetition_penalty must be at least 0.001"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(model_path, flags, message):
    with pytest.raises(UserError, match=message):
        generate.main([str(model_path), *flags])


@given(prompt=st.text(max_size=40))
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
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


def read_some(descriptor, count):
    """At least `count` characters of what a process writes to a terminal."""
    text = b""
    while len(text) < count:
        text += os.read(descriptor, 1024)
    return text.decode().replace("\r\n", "\n")


@posix
def test_on_a_terminal_text_appears_as_it_is_made_and_ctrl_c_ends_it(start):
    ours, theirs = os.openpty()
    process = start("--prompt", "To be", "--max_new_tokens", 10**9, stdout=theirs)
    os.close(theirs)
    text = read_some(ours, 200)  # of a text that would take days
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    os.close(ours)
    assert text.startswith("To be")
    assert process.returncode == 130
    assert b"Traceback" not in errors


@posix
def test_ctrl_c_leaves_what_was_written_and_a_line_end(start, tmp_path):
    with (tmp_path / "out.txt").open("wb") as out:
        process = start("--prompt", "To be", "--max_new_tokens", 10**9, stdout=out)
        while not (tmp_path / "out.txt").stat().st_size:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert text.startswith("To be")
    assert text.endswith("\n")
    assert process.returncode == 130


@posix
def test_a_reader_that_has_enough_ends_a_text_of_any_length(model_path, environment, tmp_path):
    command = (
        f'"{sys.executable}" "{ROOT / "generate.py"}" "{model_path}" --max_new_tokens 1000000000'
    )
    result = subprocess.run(
        f"{command} | head -1",
        shell=True,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert result.stdout == b"\n"
    assert b"Traceback" not in result.stderr
    assert b"error" not in result.stderr


def test_interactive_reads_prompts_until_the_end_of_input(start, model_path):
    process = start(
        "--interactive",
        *("--seed", 5, "--max_new_tokens", 9),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    lines = b"To \n/temperature 0\n/reset\nWhe\n"
    output, errors = process.communicate(lines, timeout=60)
    generator = load(model_path, "cpu")
    (first,) = generator.generate("To ", max_new_tokens=9, temperature=0.8, seed=5)
    (second,) = generator.generate("Whe", max_new_tokens=9, temperature=0.0)
    assert process.returncode == 0
    assert first in output.decode()
    assert second in output.decode()
    assert b"temperature 0" in output
    assert b"Traceback" not in errors


def test_logits_that_are_not_finite_name_the_checkpoint_and_no_text_is_made(
    model_path, tmp_path, capsys
):
    """Numbers of 3e38 are finite in the file; the sum of a few is not."""
    from transformer.checkpoint import save_model

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
