"""Quick versions of benchmarks/devices.py: a run in two processes equals a run in one."""

import pytest

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5  # relative, of losses and gradient norms in float32


@pytest.fixture
def devices(load_benchmark, tmp_path):
    devices = load_benchmark("devices")
    devices.LONG["max_steps"] = 200
    devices.write_text(tmp_path)
    return devices


@pytest.mark.slow(seconds=60)
def test_one_process_ddp_and_fsdp_are_one_run_and_take_over_each_others(devices, tmp_path):
    same = devices.same_curves(tmp_path)
    assert same["ddp against one process"] < TOLERANCE
    assert same["fsdp against ddp"] < TOLERANCE
    assert same["fsdp generates the text of ddp"]
    moves = (("fsdp", "one process"), ("one process", "fsdp"))
    assert max(devices.moved(tmp_path, moves).values()) < TOLERANCE


@pytest.mark.long
def test_a_worker_that_is_lost_is_started_again_and_nothing_with_it(devices, tmp_path):
    figures = devices.restarted(tmp_path)
    assert figures["differs in"] == []
    assert figures["versions"] == 1


def test_an_error_in_one_process_ends_all_with_its_message(devices, tmp_path):
    figures = devices.failed(tmp_path)
    assert figures["exit status"] != 0
    assert figures["its message is shown"]
    assert figures["seconds until all are gone"] < 120  # left alone, one waits for 30 minutes
