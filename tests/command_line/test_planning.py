"""A text of one's own without a config: train.py plans the run; a resumed run keeps the plan."""

import re

import pytest

import train
from tests.marks import first_fast
from transformer.config.files import load_config
from transformer.system.errors import UserError

WORDS = "to be or not to be that is the question whether it is nobler in the mind".split()


@pytest.fixture
def own_text(tmp_path):
    text = " ".join(WORDS[n * n % len(WORDS)] for n in range(4000))
    (tmp_path / "own.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_given_number_of_steps_is_planned_without_a_clock(run, own_text):
    flags = ("--data_path", "own.txt", "--max_steps", 2, "--block_size", 16, "--batch_size", 2)
    done = run("train.py", *flags, cwd=own_text)
    assert done.returncode == 0, done.stderr
    assert "because" in done.stdout
    config = load_config(own_text / "runs" / "auto" / "version_0" / "config.yaml")
    assert (config.block_size, config.batch_size, config.max_steps) == (16, 2, 2)
    assert config.max_minutes is None


@pytest.mark.parametrize(
    ("content", "given"),
    first_fast(
        [
            (" ".join(WORDS * 3)[:210], ""),
            ("to be or not to be, that is", "--max_steps 2"),
            (" ".join(WORDS * 20), "--block_size 40 --num_heads 3 --optimizer adamw"),
            ("".join(f"{n}\t{n * n}\n" for n in range(60)), "--model encoder_decoder --dropout 0"),
        ],
        several=True,
    ),
)
def test_the_way_out_of_data_too_little_to_plan_for_works_as_printed(
    short_runs, tmp_path, content, given
):
    (tmp_path / "little").write_text(content, encoding="utf-8")
    command = ["--data_path", "little", "--accelerator", "cpu", *given.split()]
    with pytest.raises(UserError, match="are too few to plan for") as refused:
        train.main(command)
    way_out = str(refused.value).split(" train without a plan, with ")[1]
    assert train.main([*command, *way_out.split()]) == 0


def test_a_restart_keeps_what_was_chosen(own_text, monkeypatch, capsys):
    monkeypatch.chdir(own_text)
    flags = ["--data_path", "own.txt", "--max_steps", "2", "--block_size", "16"]
    flags += ["--batch_size", "2", "--accelerator", "cpu"]
    assert train.main(flags) == 0
    run = own_text / "runs" / "auto" / "version_0"
    planned = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "summary.json").unlink()  # as if the machine had been lost before the end
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setattr("transformer.run.planning.planned.plan_of", None)
    assert train.main(flags) == 0
    assert (run / "summary.json").exists()
    assert (run / "config.yaml").read_text(encoding="utf-8") == planned
    assert not (run.parent / "version_1").exists()


@pytest.mark.slow(seconds=50)
def test_minutes_are_planned_trained_and_resumed(run, own_text):
    flags = ("--data_path", "own.txt", "--max_minutes", "0.5", "--cache_dir", "cache")
    done = run("train.py", *flags, cwd=own_text)
    assert done.returncode == 0, done.stderr
    assert "expected: val_loss" in done.stdout
    folder = own_text / "runs" / "auto" / "version_0"
    planned = load_config(folder / "config.yaml")
    assert planned.max_minutes == 0.5
    again = run("train.py", "--resume", folder, "--max_minutes", "0.7", cwd=own_text)
    assert "because" not in again.stdout
    resumed = load_config(folder / "config.yaml")
    for key in ("embedding_dim", "num_blocks", "dropout", "lr", "block_size"):
        assert getattr(resumed, key) == getattr(planned, key)


@pytest.mark.slow(seconds=20)
def test_the_outlook_trains_nothing_and_print_config_is_a_config(run, own_text):
    given = ("--data_path", "own.txt", "--cache_dir", "cache")
    shown = run("train.py", *given, "--plan", cwd=own_text)
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(r"val_loss below \d\.\d\d ", shown.stdout)) >= 3
    assert not (own_text / "runs").exists()
    printed = run("train.py", *given, "--print_config", cwd=own_text)
    (own_text / "plan.yaml").write_text(printed.stdout, encoding="utf-8")
    assert load_config(own_text / "plan.yaml").embedding_dim > 0


@pytest.mark.parametrize(
    ("flags", "is_planned"),
    [
        ("--data_path own.txt", True),
        ("--data_path own.txt --devices 1", True),
        ("--data_path own.txt --devices 2", False),
        ("--data_path own.txt --num_nodes 2", False),
        ("--lr 0.01", False),
    ],
)
def test_a_text_of_ones_own_is_planned_on_one_device(own_text, monkeypatch, flags, is_planned):
    monkeypatch.chdir(own_text)
    config = train.parse_arguments(flags.split()).config
    assert isinstance(config, train.Draft) == is_planned


@pytest.mark.slow(seconds=35)
def test_pairs_of_ones_own_are_planned_trained_and_used(run, own_text):
    words = sorted(
        {"".join(chr(97 + n // 26**i % 26) for i in range(4)) for n in range(0, 9000, 7)}
    )
    lines = [f"{word}\t{word[::-1]}\n" for word in words]
    (own_text / "words.tsv").write_text("".join(lines), encoding="utf-8")
    model = ("--model", "encoder_decoder", "--data_path", "words.tsv", "--cache_dir", "cache")
    done = run("train.py", *model, "--max_minutes", "0.5", cwd=own_text)
    assert done.returncode == 0, done.stderr
    assert "passes over" in done.stdout
    planned = load_config(own_text / "runs" / "auto-pairs" / "version_0" / "config.yaml")
    assert planned.block_size == 4
    assert planned.max_minutes == 0.5
    answered = run("generate.py", "--prompt", "abcd", cwd=own_text)
    assert answered.returncode == 0, answered.stderr
