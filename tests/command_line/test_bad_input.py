"""Bad input through the real command line: one line that says what is wrong and the way out."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.marks import first_fast

ROOT = Path(__file__).parents[2]
NINE_KEYS = (
    "batch_size epochs lr data_path block_size num_heads embedding_dim num_blocks num_workers"
).split()


def train(arguments: str, *words: str) -> Any:
    """A row: the arguments after `train.py --config tiny.yaml`, and what the line says."""
    return pytest.param(
        "train.py", f"--config tiny.yaml {arguments}".split(), words, id=f"train {arguments}"
    )


def row(command: str, *words: str, slow: bool = False) -> Any:
    script, *arguments = command.split()
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(f"{script}.py", arguments, words, id=command, marks=marks)


BEFORE_TORCH = [
    row("train --config nowhere.yaml", "nowhere.yaml", "no such config file"),
    row("train --config folder", "folder", "is a folder, not a config file"),
    row("train --config latin1.txt", "latin1.txt", "not UTF-8 at byte 3", "save the file as UTF-8"),
    row("train --config broken.yaml", "broken.yaml:3", "not valid YAML"),
    row("train --config list.yaml", "list.yaml", "`key: value` lines"),
    row("train --config nested.yaml", "nested.yaml:15", "a config is flat"),
    row("train --config misspelled.yaml", "misspelled.yaml:15", "'weight_decy'", "weight_decay?"),
    row("train --config wrong_type.yaml", "wrong_type.yaml:15", "dropout", "a number", "'much'"),
    row("train --config nan.yaml", "nan.yaml:15", "weight_decay", "a finite number"),
    *[
        row(f"train --config without_{key}.yaml", f"missing key {key}:", f"--{key} VALUE")
        for key in NINE_KEYS
    ],
    train("--zzz 1", "'--zzz'", "--help lists them all"),
    train("--batchsize 1", "'--batchsize'", "did you mean --batch_size?"),
    train("--batch_size", "--batch_size", "expected one argument"),
    train("stray", "'stray'", "flags start with --"),
    train("--batch_size many", "--batch_size", "a whole number", "'many'"),
    train("--batch_size 2.5", "--batch_size", "a whole number", "'2.5'"),
    train("--norm_first perhaps", "--norm_first", "true or false", "'perhaps'"),
    train("--positions circular", "--positions", "'learned', 'sinusoidal', 'rotary' or 'none'"),
    train("--batch_size 0", "--batch_size", "greater than 0", "'0'"),
    train("--epochs -1", "--epochs", "greater than 0", "'-1'"),
    train("--lr 0", "--lr", "greater than 0", "'0'"),
    train("--lr -0.001", "--lr", "greater than 0", "'-0.001'"),
    train("--lr nan", "--lr", "a finite number", "'nan'"),
    train("--block_size 0", "--block_size", "greater than 0", "'0'"),
    train("--num_heads 0", "--num_heads", "greater than 0", "'0'"),
    train("--embedding_dim -8", "--embedding_dim", "greater than 0", "'-8'"),
    train("--num_blocks 0", "--num_blocks", "greater than 0", "'0'"),
    train("--num_workers -1", "--num_workers", "at least 0", "'-1'"),
    train("--dropout 1.5", "--dropout", "less than 1", "'1.5'"),
    train("--max_steps 0", "--max_steps", "greater than 0", "'0'"),
    train("--val_every_steps never", "--val_every_steps", "a whole number or 'auto'", "'never'"),
    train("--embedding_dim 22 --num_heads 3", "divisible", "embedding_dim=22", "num_heads=3"),
    train("--positions rotary", "even", "22 / 2 = 11"),
    train("--model bigram --dropout 0.1", "dropout does not apply to model: bigram", "remove it"),
    train("--test_path a.tsv", "test_path does not apply to model: gpt", "remove it"),
    train("--plan", "--plan", "leaves nothing open", "auto"),
    train("--embedding_dim auto --max_steps none", "--embedding_dim", "max_minutes", "max_steps"),
    train("--data_path nowhere.txt", "nowhere.txt", "no such text file"),
    train("--data_path empty.txt", "empty.txt", "is empty", "give a text of"),
    train("--data_path folder", "folder", "the folder is empty", "give a folder with"),
    train("--data_path *.nothing", "*.nothing", "no file matches this pattern"),
    train("--encoding klingon", "--encoding", "the name of an encoding", "'klingon'"),
    train("--data_weights 1 2", "data_weights has 2 numbers and data_path 1"),
    train("--data_path cut.txt.gz", "cut.txt.gz", "cannot read this file", "--skip_bad_files"),
    train("--data_path no.jsonl", "no.jsonl, line 2", "has no field 'text'", "--text_field"),
    train("--data_path latin1.txt", "latin1.txt", "not UTF-8 at byte 3 (0xe9)", "save the file"),
    train("--data_path short.txt", "99 characters leave 10 for validation", "17", "longer text"),
    train("--runs_dir hamlet.txt", "hamlet.txt", "is a file, not a folder", "--runs_dir"),
    train("--resume", "--config does not go with --resume"),
    row("train --resume", "runs", "no run with a checkpoint here", "python train.py"),
    row("train --resume nowhere.ckpt", "nowhere.ckpt", "no such checkpoint", "newest run"),
    row("train --resume stray.ckpt", "stray.ckpt", "no config.yaml two folders up", "last.ckpt"),
    row("generate", "runs", "no run with a checkpoint here", "another --runs_dir"),
    row("generate nowhere.ckpt", "nowhere.ckpt", "no such checkpoint", "model.safetensors"),
    row("generate stray.ckpt --top_k 0", "--top_k", "greater than 0", "'0'"),
    row("generate stray.ckpt --temperature -1", "--temperature", "at least 0", "'-1'"),
    row("generate stray.ckpt --top_p 1.1", "--top_p", "at most 1", "'1.1'"),
    row("generate stray.ckpt --max_tokens 9", "'--max_tokens'", "--max_new_tokens?"),
    row("generate stray.ckpt --prompt_file nowhere.txt", "nowhere.txt", "no such prompt file"),
    row("generate stray.ckpt --prompt a --prompt_file empty.txt", "--prompt_file, not both"),
    row("evaluate nowhere.ckpt", "nowhere.ckpt", "no such checkpoint"),
    row("evaluate stray.ckpt --data_path nowhere.txt", "nowhere.txt", "no such text file"),
    row("explain --prompt To", "runs", "no run with a checkpoint here", "another --runs_dir"),
    row("explain stray.ckpt", "nothing to explain", "give a --prompt or a --prompt_file"),
    row("explain stray.ckpt --prompt To --out a.pdf", "--out must end in .html or .png, got"),
    row("explain stray.ckpt --prompt To --max_new_tokens -1", "--max_new_tokens", "at least 0"),
    row("explain stray.ckpt --prompt_file latin1.txt", "latin1.txt", "not UTF-8 at byte 3"),
    row("explain stray.ckpt --prompt a --prompt_file empty.txt", "--prompt_file, not both"),
]

# Slow rows tell again, through another script or file type, what an unmarked one tells.
WITH_TORCH = [
    row("train --config tiny.yaml --accelerator cuda", "cuda", "it has cpu", slow=True),
    row("train --config tiny.yaml --precision fp16", "fp16", "bf16 or float32", slow=True),
    row("evaluate run --data_path latin1.txt", "latin1.txt", "byte 3"),  # bytes may read any file
    row("train --resume run --data_path other.txt", "sha256", "--data_path it was", "--resume"),
    row("train --resume run --num_blocks 2", "num_blocks=1, not 2", "--resume", slow=True),
    row("train --resume run", "step 70 of 70", "larger --max_steps", slow=True),
    row("train --resume run/checkpoints/cut.ckpt", "cut.ckpt", "truncated", slow=True),
    row("generate run --device cuda", "cuda", "it has cpu", "auto", slow=True),
    row("generate run --prompt Zoë→", "'ë'", "RIGHTWARDS ARROW", "--skip_unknown"),
    row("generate code.ckpt", "code.ckpt", "could run code", "not loaded"),
    row("generate run/checkpoints/cut.ckpt", "cut.ckpt", "truncated", slow=True),
    row("generate cut.safetensors", "cut.safetensors", "truncated", slow=True),
    row("generate hamlet.txt", "hamlet.txt", "not a model file", slow=True),
    row("generate stray.ckpt", "stray.ckpt", "not a checkpoint of this program", slow=True),
    row("generate empty.ckpt", "empty.ckpt", "is empty", "name another", slow=True),
    row("evaluate run --data_path other.txt", "LATIN SMALL LETTER J", "--skip_unknown", slow=True),
    row("evaluate code.ckpt", "code.ckpt", "could run code", slow=True),
    row("explain run --prompt Zoë→", "'ë'", "RIGHTWARDS ARROW", "--skip_unknown"),
    row("explain run --prompt T", "fewer than two characters", "--max_new_tokens 100", slow=True),
    row("evaluate run --device cuda", "cuda", "it has cpu", slow=True),
]


SCRIPTS = ["train.py", "generate.py", "evaluate.py", "explain.py"]


class _RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("the_code_has_run",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_inputs: Callable[[Path], None]) -> Path:
    """Inputs that are wrong in one way each, beside the good ones."""
    folder = tmp_path_factory.mktemp("bad_input")
    write_inputs(folder)
    good = (folder / "tiny.yaml").read_text(encoding="utf-8")
    for key in NINE_KEYS:
        rest = [line for line in good.splitlines() if not line.startswith(f"{key}:")]
        (folder / f"without_{key}.yaml").write_text("\n".join(rest))
    for name, content in {
        "broken.yaml": "batch_size: 7\nepochs: 2\nlr: 3: 4\n",
        "list.yaml": "- batch_size\n- epochs\n",
        "nested.yaml": good + "model: {name: gpt}\n",
        "misspelled.yaml": good + "weight_decy: 0.1\n",
        "wrong_type.yaml": good + "dropout: much\n",
        "nan.yaml": good + "weight_decay: .nan\n",
        "empty.txt": "",
        "empty.ckpt": "",
        "short.txt": "To be, or not to be. That is it.\n" * 3,
        "other.txt": "The quick brown fox jumps over the lazy dog.\n" * 9,
        "stray.ckpt": "neither a checkpoint nor in a run's folder",
    }.items():
        (folder / name).write_text(content, newline="\n")
    (folder / "latin1.txt").write_bytes("café\n".encode("latin-1") * 99)
    (folder / "cut.txt.gz").write_bytes(gzip.compress(b"To be, or not to be. " * 99)[:-9])
    (folder / "no.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n', encoding="utf-8")
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(scope="module")
def folder_with_models(folder: Path, finished: Any) -> Path:
    """A run that is over, and files that are not quite models."""
    import torch

    shutil.copytree(finished.folder, folder / "run")
    last = (finished.folder / "checkpoints" / "last.ckpt").read_bytes()
    (folder / "run" / "checkpoints" / "cut.ckpt").write_bytes(last[: len(last) // 2])
    weights = (finished.folder / "model.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, folder / "stray.ckpt")
    torch.save({"transformer": _RunsCode()}, folder / "code.ckpt")
    return folder


@pytest.fixture(scope="module")
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for PYTHONPATH in which torch and Lightning end the process with another status."""
    folder = tmp_path_factory.mktemp("no_torch")
    for name in ("torch", "pytorch_lightning"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    return str(folder)


# Starts scripts one after the other in one process, as Python's start takes most of the time.
STARTS = """
import contextlib, io, json, runpy, sys
for line in sys.stdin:
    sys.argv = json.loads(line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = runpy.run_path(sys.argv[0], run_name="__main__") and 0
        except SystemExit as leaving:
            status = leaving.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def start(folder: Path, no_torch: str, environment: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """As `run` in `folder`, without torch, in a process that stays."""
    variables = environment | {"PYTHONPATH": os.pathsep.join([no_torch, str(ROOT)])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    command = [sys.executable, "-c", STARTS]
    with subprocess.Popen(command, cwd=folder, env=variables, **pipes) as process:

        def call(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            argv = [str(ROOT / script), *arguments]
            process.stdin.write(json.dumps(argv) + "\n")
            process.stdin.flush()
            status, out, err = json.loads(process.stdout.readline())
            return subprocess.CompletedProcess(argv, status, out, err)

        yield call
        process.stdin.close()


def files_under(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_one_line(result: subprocess.CompletedProcess[str], words: tuple[str, ...]) -> None:
    assert result.returncode == 2, result.stderr
    by_train = any(str(word).endswith("train.py") for word in result.args[:2])
    first_line = r"(reading .* and loading PyTorch \.\.\.\n)?" if by_train else ""
    assert re.fullmatch(first_line, result.stdout)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(("script", "arguments", "words"), BEFORE_TORCH)
def test_a_mistake_seen_without_torch_is_one_line_at_once(start, folder, script, arguments, words):
    before = files_under(folder)
    assert_one_line(start(script, *arguments), words)
    assert files_under(folder) == before


@pytest.mark.parametrize("script", first_fast(SCRIPTS))
def test_a_process_of_its_own_ends_so_too(run, start, folder, no_torch, script):
    result = run(script, "--zzz", "1", cwd=folder, PYTHONPATH=no_torch)
    assert_one_line(result, ("'--zzz'",))
    again = start(script, "--zzz", "1")
    assert (result.stdout, result.stderr) == (again.stdout, again.stderr)


@pytest.mark.slow  # of processes that import torch
@pytest.mark.parametrize(("script", "arguments", "words"), WITH_TORCH)
def test_a_mistake_that_only_torch_can_see_is_one_line_too(
    run, folder_with_models, script, arguments, words
):
    before = files_under(folder_with_models)
    result = run(script, *arguments, cwd=folder_with_models)
    assert_one_line(result, words)
    assert files_under(folder_with_models) == before


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not stop root"
)
@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("tiny.yaml", ["--config", "tiny.yaml"], ("tiny.yaml", "cannot read this config file")),
        ("hamlet.txt", ["--config", "tiny.yaml"], ("hamlet.txt", "cannot read this text file")),
        ("runs", ["--config", "tiny.yaml"], ("cannot write in", "give another --runs_dir")),
    ],
)
def test_what_may_not_be_read_or_written_is_named(
    run, tmp_path, write_inputs, no_torch, name, arguments, words
):
    write_inputs(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / name).chmod(0o500 if name == "runs" else 0)
    assert_one_line(run("train.py", *arguments, cwd=tmp_path, PYTHONPATH=no_torch), words)
