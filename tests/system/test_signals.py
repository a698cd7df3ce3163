"""Signals that ask to end: the first is kept, the second ends the process, handlers come back."""

import os
import signal
import sys
import threading

import pytest

from transformer.system import signals
from transformer.system.signals import SIGNALS, Interrupted, Signals, ended_at_once

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="most signals are not there")


@pytest.fixture
def statuses(monkeypatch):
    """With which the process would have ended at once."""
    left = []
    monkeypatch.setattr("os._exit", left.append)
    return left


def own_handler(number, frame): ...


@pytest.fixture(autouse=True)
def handlers_of_the_process():
    """One of its own, the default, and whatever the tests were started with; they stay."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, own_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


def test_a_signal_is_kept_and_a_second_one_ends_the_process_at_once(statuses):
    heard = Signals()
    with heard.heard():
        signal.raise_signal(signal.SIGINT)
        assert (heard.received, statuses) == (signal.SIGINT, [])
        signal.raise_signal(signal.SIGTERM)
    assert statuses == [143]
    assert heard.received == signal.SIGINT
    with pytest.raises(Interrupted) as interrupted:
        heard.check()
    assert interrupted.value.exit_status == 130


def test_a_hangup_right_behind_another_signal_does_not_end_what_is_being_saved(statuses):
    heard = Signals()
    with heard.heard():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
    assert (heard.received, statuses) == (signal.SIGTERM, [])


def fail():
    raise ZeroDivisionError


@pytest.mark.parametrize("block", [lambda: None, fail])
def test_the_handlers_of_before_are_back_also_after_an_error(block):
    before = handlers()
    try:
        with Signals().heard():
            assert all(signal.getsignal(n) != before[n] for n in SIGNALS)
            block()
    except ZeroDivisionError:
        pass
    assert handlers() == before


def test_a_handler_that_c_code_has_set_is_left_alone(monkeypatch):
    real = signal.getsignal
    of_c = {signal.SIGTERM: None}
    with monkeypatch.context() as patch:
        patch.setattr(signals.signal, "getsignal", lambda n: of_c.get(n, real(n)))
        with Signals().heard(), ended_at_once(SIGNALS):
            assert real(signal.SIGTERM) is own_handler
    assert real(signal.SIGTERM) is own_handler


def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard = Signals()
    with heard.heard(), ended_at_once(SIGNALS):
        signal.raise_signal(signal.SIGHUP)
    assert heard.received == 0


def test_another_thread_than_the_main_one_hears_nothing_and_does_not_fail():
    before, seen = handlers(), []

    def block():
        with ended_at_once(SIGNALS), Signals().heard():
            seen.append(handlers())

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [before]


def test_where_a_run_has_all_saved_a_signal_is_raised_even_if_a_library_swallows_it():
    heard = Signals()

    def swallow():
        with heard.raised():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException:
                pass
            else:
                pytest.fail("not raised")

    with heard.heard(), pytest.raises(Interrupted, match="SIGTERM"):
        swallow()
    with pytest.raises(Interrupted), heard.raised():
        pytest.fail("one that came before is raised at once")


def test_at_other_times_a_signal_ends_the_process_unless_it_has_a_handler(statuses):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ended_at_once(SIGNALS):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
    assert statuses == [130, 129]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
