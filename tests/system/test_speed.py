"""What is measured once and remembered, and by whom."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from transformer.system import speed
from transformer.system.speed import FILE, Answer, fastest, measure_all, seconds_of

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture(autouse=True)
def free(monkeypatch):
    monkeypatch.setattr(speed, "cores_are_free", lambda: True)


@pytest.fixture
def slept(clock):
    """Two candidates of known speed, and how often each was tried."""
    tries = {"quick": 0, "slow": 0}

    def candidate(name, seconds):
        def work(num_rows):
            tries[name] += 1
            clock.sleep(seconds)

        return work

    return {"quick": candidate("quick", 0.001), "slow": candidate("slow", 0.002)}, tries


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.02)


def test_an_answer_is_measured_once_and_then_read(slept, tmp_path):
    candidates, tries = slept
    first = seconds_of("which", candidates, tmp_path / "new" / "folder")
    assert first["quick"] < first["slow"]
    before = dict(tries)
    assert seconds_of("which", candidates, tmp_path / "new" / "folder") == first
    assert tries == before
    seconds_of("another question", candidates, tmp_path / "new" / "folder")
    assert tries != before


@pytest.mark.parametrize("changed", ["processor_name", "processor_details", "torch"])
def test_another_machine_is_measured_anew(slept, tmp_path, monkeypatch, changed):
    candidates, tries = slept
    seconds_of("which", candidates, tmp_path)
    before = dict(tries)
    if changed == "torch":
        monkeypatch.setattr("torch.__version__", "0.1")
    else:
        monkeypatch.setattr(speed, changed, lambda: "Z80")
    seconds_of("which", candidates, tmp_path)
    assert tries != before
    assert len(json.loads((tmp_path / FILE).read_text(encoding="utf-8"))) == 2


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[1]", "null", "[" * 100_000, "\udcff"),
        *('{"KEY": 1}', '{"KEY": {"quick": 1.0}}'),
        '{"KEY": {"quick": 1.0, "slow": "x"}}',
        '{"KEY": {"quick": 1.0, "slow": NaN}}',
        '{"KEY": {"quick": 1.0, "slow": -1.0}}',
    ],
    ids=lambda content: content[:40],
)
def test_a_damaged_file_is_measured_over_and_that_is_said_once(slept, tmp_path, caplog, content):
    caplog.set_level("INFO")
    candidates, _ = slept
    whole = content.startswith('{"KEY"')  # but for an answer
    content = content.replace("KEY", f"which; {speed.machine()}")
    (tmp_path / FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    times = seconds_of("which", candidates, tmp_path)
    assert times["quick"] < times["slow"]
    assert seconds_of("which", candidates, tmp_path) == times
    damaged = f"{tmp_path / FILE}: damaged, so all is measured anew, and this run may choose"
    assert [message.startswith(damaged) for message in caplog.messages] == [True] * (not whole)


def test_where_nothing_can_be_kept_that_is_said_and_measured_again(slept, tmp_path, caplog):
    caplog.set_level("INFO")
    candidates, tries = slept
    measure_all(candidates)
    tries_of_one = tries["slow"]
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for _ in range(2):
        times = seconds_of("which", candidates, tmp_path / "file" / "below")
        assert times["quick"] < times["slow"]
    assert caplog.text.count("another run may choose otherwise; give --cache_dir") == 1
    assert tries["slow"] > tries_of_one


def test_what_cannot_be_written_is_measured_once_and_not_shared(
    slept, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    candidates, tries = slept
    seconds_of("another question", candidates, tmp_path / "usable")
    tries_of_one = dict(tries)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(speed, "write_text", refuse)
    assert seconds_of("which", candidates, tmp_path) is not None
    assert tries == {name: 2 * number for name, number in tries_of_one.items()}
    assert seconds_of("which", candidates, tmp_path, shared=True) is None
    assert caplog.text.count("cannot be used (No space left on device)") == 1


def test_what_is_remembered_is_read_where_nothing_can_be_written(slept, tmp_path, monkeypatch):
    candidates, tries = slept
    first = seconds_of("which", candidates, tmp_path)
    before = dict(tries)

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(speed, "FileLock", refuse)
    assert seconds_of("which", candidates, tmp_path) == first
    assert tries == before
    assert seconds_of("another question", candidates, tmp_path, shared=True) is None
    assert seconds_of("another question", candidates, tmp_path) is not None


def test_while_other_programs_hold_cores_some_questions_have_no_answer(
    slept, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    candidates, tries = slept
    monkeypatch.setattr(speed, "cores_are_free", lambda: False)
    assert seconds_of("which", candidates, tmp_path, needs_free_cores=True) is None
    (said,) = caplog.messages
    assert said == "which: not measured beside other programs, so a repeat may choose otherwise"
    assert tries["quick"] == 0
    answer = seconds_of("which", candidates, tmp_path)
    assert answer is not None
    assert seconds_of("which", candidates, tmp_path, needs_free_cores=True) == answer


def test_an_answer_of_a_busy_machine_counts_for_a_while_and_one_of_a_free_machine_for_ever(
    slept, tmp_path, monkeypatch, clock
):
    candidates, tries = slept
    is_free = iter([False, True])
    monkeypatch.setattr(speed, "cores_are_free", is_free.__next__)
    seconds_of("which", candidates, tmp_path)
    for later, measures_again in ((0.9, False), (0.2, True), (10.0, False)):
        clock.sleep(later * speed.UNSURE_SECONDS)
        before = dict(tries)
        answer = seconds_of("which", candidates, tmp_path)
        assert (tries != before) == measures_again
        said = fastest(answer, "slow").why
        assert said.startswith("2.0 x as fast as slow here")
        assert ("a repeat may choose otherwise" in said) == (later == 0.9)


def test_what_is_remembered_as_unsure_counts_for_a_while(tmp_path, clock):
    names = ("compiled", "not")
    for sure in (True, False):
        speed.remember("which", Answer(dict.fromkeys(names, 1.0), sure=sure), tmp_path)
        answer = speed.recalled("which", names, tmp_path)
        assert answer is not None
        assert answer.sure == sure
        clock.sleep(1.1 * speed.UNSURE_SECONDS)
        assert (speed.recalled("which", names, tmp_path) is not None) == sure


def test_a_core_that_is_held_is_seen(monkeypatch, clock):
    """Of two threads, one that waits uses no time of a processor."""
    monkeypatch.undo()
    monkeypatch.setattr(speed, "time", clock)
    monkeypatch.setattr("torch.mm", lambda *_, **__: clock.sleep(0.01))
    for num_threads, cpu_seconds, free in ((1, 0.09, True), (2, 0.11, False)):
        monkeypatch.setattr("torch.get_num_threads", lambda count=num_threads: count)
        clock.process_time = iter([0.0, cpu_seconds]).__next__
        assert speed.cores_are_free() == free


def test_a_look_at_the_cores_takes_each_thread_the_same_work(monkeypatch, clock):
    """Of 192 threads a square product would take 192 squared times as much from each."""
    monkeypatch.undo()
    monkeypatch.setattr(speed, "time", clock)
    clock.process_time = clock.perf_counter
    seen = []

    def multiply(one, other, out):
        numbers = one.numel() + other.numel() + out.numel()
        seen.append((one.shape[0] * one.shape[1] * other.shape[1], 4 * numbers))
        clock.sleep(0.1)

    monkeypatch.setattr("torch.mm", multiply)
    for num_threads in (1, 2, 192):
        monkeypatch.setattr("torch.get_num_threads", lambda count=num_threads: count)
        speed.cores_are_free()
    work, num_bytes = zip(*seen, strict=True)
    assert work == (work[0], 2 * work[0], 192 * work[0])
    assert max(num_bytes) < 250e6


def test_those_who_ask_together_get_the_same_answer(slept, tmp_path):
    candidates, _ = slept
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: seconds_of("which", candidates, tmp_path), range(4)))
    assert answers == answers[:1] * 4


@pytest.mark.parametrize(
    ("bf16", "int8", "expected"),
    [
        (1.0, 1.0, ("float32", "1.0 x as fast as bf16 here")),
        (0.97, 1.2, ("float32", "1.0 x as fast as bf16 here")),  # not worth its rounding
        (3.0, 2.0, ("float32", "2.0 x as fast as int8 here")),
        (0.5, 0.8, ("bf16", "2.0 x as fast as float32 here")),
        (0.8, 0.5, ("int8", "2.0 x as fast as float32 here")),
    ],
)
def test_float32_is_kept_unless_another_format_is_faster(bf16, int8, expected):
    assert fastest({"float32": 1.0, "bf16": bf16, "int8": int8}, "float32") == expected
