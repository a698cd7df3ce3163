"""Every command in README.md and on the pages of docs/ is one that the scripts accept."""

import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from torch.distributed.run import get_args_parser

import evaluate
import explain
import export
import generate
import plot
import prepare
import sweep
import train
from transformer.config.flags import check_flags, given_flags
from transformer.storage.run_lock import RunLock
from transformer.sweep.options import SweepOptions
from transformer.system.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("data", "benchmarks")),
]
SHELL = ("", "bash", "sh", "shell", "console")
OTHER_SCRIPTS = {
    "generate.py": generate,
    "evaluate.py": evaluate,
    "explain.py": explain,
    "export.py": export,
    "plot.py": plot,
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"\bpython ([\w/]+\.py)")
VARIABLE = re.compile(r"[A-Z_]+=\S*")


class Command(NamedTuple):
    """Words as a shell parts them, without variables, comments and where output goes."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def words(line: str) -> tuple[str, ...]:
    found = shlex.split(line, comments=True)
    while found and VARIABLE.fullmatch(found[0]):
        found.pop(0)
    ends = [found.index(sign) for sign in (">", "|") if sign in found]
    return tuple(found[: min(ends, default=None)])


def is_prose(language: str, text: str) -> bool:
    """A tree, a list of digests, a sample: no line of it begins as a command does."""
    return language == "" and not re.search(r"^(python|pip|torchrun|[A-Z_]+=)", text, re.MULTILINE)


def lines_of(language: str, text: str) -> list[str]:
    if language in SHELL and not is_prose(language, text):
        return text.replace("\\\n", " ").splitlines()
    # What a comment in Python or YAML says to run.
    return [line[match.start() :] for line in text.splitlines() if (match := SCRIPT.search(line))]


def commands_of(path: Path) -> list[Command]:
    """Those of code blocks, and those in running text between backticks."""
    page = path.read_text(encoding="utf-8")
    lines = [line for language, text in FENCE.findall(page) for line in lines_of(language, text)]
    prose = re.findall(r"`([^`]+)`", FENCE.sub("", page))
    lines += [" ".join(code.split()) for code in prose if SCRIPT.search(code)]
    parts = [words(part) for line in lines for part in line.split(" && ")]
    return [Command(path.relative_to(ROOT).as_posix(), part) for part in parts if part]


COMMANDS = [command for path in PAGES for command in commands_of(path)]


def arguments_of(command: Command) -> list[str]:
    """Those of train.py, behind torchrun too."""
    return list(command.words[command.words.index("train.py") + 1 :])


TRAINING = [command for command in COMMANDS if "train.py" in command.words]


@pytest.mark.parametrize("command", TRAINING, ids=str)
def test_training_commands_are_accepted(command, tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    arguments = arguments_of(command)
    if {"--resume", "--repeat"} & {*arguments}:
        run = tmp_path / "runs" / "default" / "version_0"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.ckpt").touch()
        config = (ROOT / "configs" / "default.yaml").read_text(encoding="utf-8")
        (run / "config.yaml").write_text(config, encoding="utf-8")
    if {"--help", "--print_schema"} & {*arguments}:
        with pytest.raises(SystemExit, match="0"):
            train.parse_arguments(arguments)
    elif "--start_from" in arguments:
        with pytest.raises(UserError, match=r"no such (folder|checkpoint)"):
            train.parse_arguments(arguments)
    else:
        config = train.parse_arguments(arguments).config
        config = config.base() if isinstance(config, train.Draft) else config
        assert config.batch_size > 0


def is_for(command: Command, script: str) -> bool:
    return command.words[:2] == ("python", script)


@pytest.mark.parametrize("script", OTHER_SCRIPTS)
def test_other_commands_reach_the_search_for_a_run(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [command for command in COMMANDS if is_for(command, script)]
    assert found
    for command in found:
        missing = "no run with a checkpoint|no such (folder|checkpoint)"
        with pytest.raises(UserError, match=missing):
            OTHER_SCRIPTS[script].main(list(command.words[2:]))


def test_commands_of_the_corpus_read_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [command for command in COMMANDS if is_for(command, "prepare.py")]
    assert found
    for command in found:
        with pytest.raises(UserError, match=r"no such|empty"):
            prepare.main(list(command.words[2:]))


@pytest.mark.parametrize("command", [one for one in COMMANDS if is_for(one, "sweep.py")], ids=str)
def test_sweeps_can_be_planned(command, tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    arguments = sweep.make_parser().parse(list(command.words[2:]))
    options = check_flags(SweepOptions, given_flags(arguments, SweepOptions))
    with RunLock() as lock:
        if arguments.scaling:
            with pytest.raises(UserError, match=r"no such text file"):
                sweep.opened_folder(arguments, options, lock)
        elif arguments.resume is None:
            folder = sweep.opened_folder(arguments, options, lock)
            assert folder.results().ended() == []
        else:
            with pytest.raises(UserError, match=r"has no sweep\.yaml"):
                sweep.opened_folder(arguments, options, lock)


def check_python(arguments: list[str]) -> None:
    """The scripts of this folder have tests above; others, and tests, are there."""
    first, *others = arguments
    named = [word for word in others if "/" in word] if first == "-m" else [first]
    assert all((ROOT / name).exists() for name in named)


def check_pip(arguments: list[str]) -> None:
    action, *what = arguments
    assert action == "install"
    assert what == ["."] or (what[0] == "-r" and (ROOT / what[1]).is_file())


def check_torchrun(arguments: list[str]) -> None:
    parsed = get_args_parser().parse_args(arguments)
    assert (ROOT / parsed.training_script).is_file()


def check_tensorboard(arguments: list[str]) -> None:
    with warnings.catch_warnings(action="ignore"):  # of a library inside it
        from tensorboard.plugins.core.core_plugin import CorePluginLoader
        from tensorboard.program import TensorBoard
    TensorBoard(plugins=[CorePluginLoader()]).configure(argv=["tensorboard", *arguments])


def check_export(arguments: list[str]) -> None:
    assert all(VARIABLE.fullmatch(word) for word in arguments)


def check_sbatch(arguments: list[str]) -> None:
    (script,) = arguments
    assert (ROOT / script).read_text(encoding="utf-8").startswith("#!/bin/bash\n")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "python": check_python,
    "pip": check_pip,
    "torchrun": check_torchrun,
    "tensorboard": check_tensorboard,
    "export": check_export,
    "sbatch": check_sbatch,
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_of_a_kind_that_is_checked(command):
    program, *arguments = command.words
    assert program in CHECKS
    CHECKS[program](arguments)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_command_of_a_page_is_left_out(path):
    """Counted anew, wherever on the page it stands."""
    page = " ".join(path.read_text(encoding="utf-8").replace("\\\n", " ").split())
    checked = [" ".join(command.words) for command in commands_of(path)]
    checked = [name for line in checked for name in SCRIPT.findall(line)]
    assert sorted(checked) == sorted(SCRIPT.findall(page))
    assert {name for name in checked if "/" not in name} <= {
        "train.py",
        "prepare.py",
        "sweep.py",
        *OTHER_SCRIPTS,
    }


def test_the_job_for_slurm_is_accepted(tmp_path, monkeypatch):
    """Its command, with two devices in place of SLURM's variables."""
    script = (ROOT / "docs" / "slurm.sbatch").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in script.splitlines() if "python train.py" in line]
    config = re.search(r"^CONFIG=(\S+)$", script, re.MULTILINE)
    assert config is not None
    line = re.sub(r"\$SLURM_\w+", "2", line.replace("$CONFIG", config[1]))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    arguments = arguments_of(Command("docs/slurm.sbatch", words(line)))
    assert train.parse_arguments(arguments).config.num_nodes == 2
