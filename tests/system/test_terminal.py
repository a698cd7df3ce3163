"""How a script ends."""

import subprocess
import sys


def test_a_script_ends_without_a_search_for_garbage_among_all_that_it_imported():
    """That takes a second if torch was imported."""
    code = (
        "import atexit, gc; from transformer.system.terminal import run_script\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"  # is called last
        "run_script(lambda: 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("True", 3), done.stderr
