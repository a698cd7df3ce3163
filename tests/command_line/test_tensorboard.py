"""`tensorboard --logdir runs` shows the run: scalars, texts and images, read over HTTP."""

import html
import io
import json
import math
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from tests.processes import HANGING_SECONDS

SCALARS = (
    "train_loss val_loss val_bits_per_char lr grad_norm tokens_per_second corpus_passes"
).split()
RUN = "tiny/version_0"


@pytest.fixture(scope="module")
def address(finished, environment):
    """Of a server on a free port of this machine alone, which ends with the module."""
    flags = "--logdir runs --host 127.0.0.1 --port 0 --load_fast=false".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *flags],
        cwd=finished.home,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr])
    reader.start()
    try:
        yield announced_address(lines)
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def announced_address(lines):
    deadline = time.monotonic() + HANGING_SECONDS
    said = ""
    while time.monotonic() < deadline:
        said += lines.get(timeout=HANGING_SECONDS)
        if found := re.search(r"http://[\d.]+:\d+/", said):
            return found[0]
    raise TimeoutError(f"no address in {said!r}")


def read(address, path, query):
    url = f"{address}data/plugin/{path}?{query}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=HANGING_SECONDS) as response:
        return response.read()


def read_json(address, path, **query):
    return json.loads(read(address, path, urllib.parse.urlencode(query)))


@pytest.fixture(scope="module")
def tags(address):
    """Names by run, asked for until the server has read all of the events."""
    deadline = time.monotonic() + HANGING_SECONDS
    while time.monotonic() < deadline:
        found = {
            kind: read_json(address, f"{kind}/tags").get(RUN, [])
            for kind in ("scalars", "text", "images")
        }
        all_there = len(found["text"]) == 3 and len(found["images"]) == 2
        if set(SCALARS) <= set(found["scalars"]) and all_there:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"the server shows {found}")


@pytest.fixture(scope="module")
def curves(address, tags):
    """Tag -> step -> value."""
    curves = {}
    for tag in tags["scalars"]:
        points = read_json(address, "scalars/scalars", run=RUN, tag=tag)
        curves[tag] = {step: value for _, step, value in points}
    return curves


def test_tensorboard_shows_the_promised_scalars_and_no_folders_of_them(tags):
    assert set(SCALARS) <= set(tags["scalars"])
    assert not any("/" in tag for tag in tags["scalars"])


def test_scalars_stand_at_the_steps_they_were_logged_at(curves):
    assert list(curves["val_loss"]) == list(curves["val_bits_per_char"]) == [30, 60, 70]
    for tag in ("train_loss", "lr", "grad_norm", "tokens_per_second", "corpus_passes"):
        assert list(curves[tag]) == [10, 20, 30, 40, 50, 60, 70]


def test_scalars_are_those_of_the_summary(curves, finished):
    summary = finished.summary
    # TensorBoard keeps float32, and the summary's loss is summed in other batches: 1e-6 each.
    lowest = min(curves["val_loss"].values())
    assert lowest == pytest.approx(summary["val_loss"], rel=1e-5)
    assert curves["val_loss"][summary["best_step"]] == lowest
    for step, loss in curves["val_loss"].items():
        assert curves["val_bits_per_char"][step] == pytest.approx(loss / math.log(2), rel=1e-6)
    assert curves["train_loss"][70] == pytest.approx(summary["train_loss"], rel=1e-6)
    assert curves["corpus_passes"][70] == pytest.approx(summary["corpus_passes"], rel=1e-6)


def test_the_learning_rate_rises_and_falls_and_gradients_have_a_size(curves):
    rates = list(curves["lr"].values())
    assert max(rates) <= 1e-2 * (1 + 1e-6)
    assert rates == sorted(rates, reverse=True)  # 3 steps of warmup, over at the first logging
    assert all(0 < norm < 100 for norm in curves["grad_norm"].values())
    assert all(rate > 0 for rate in curves["tokens_per_second"].values())


def shown_texts(address, tag):
    """Step -> the text that a browser shows."""
    found = {}
    for event in read_json(address, "text/text", run=RUN, tag=tag):
        shown = re.search("<pre><code>(.*)\n</code></pre>", event["text"], re.DOTALL)
        found[event["step"]] = html.unescape(shown[1])
    return found


def find_tag(tags, name):
    """The text plugin adds its own ending to a name."""
    (found,) = [tag for tag in tags["text"] if tag.split("/")[0] == name]
    return found


def test_a_sample_is_shown_at_every_validation(address, tags, finished):
    samples = shown_texts(address, find_tag(tags, "sample"))
    assert list(samples) == [30, 60, 70]
    assert all(sample.startswith("To ") and len(sample) > 250 for sample in samples.values())
    assert len(set(samples.values())) == 3
    if finished.summary["best_step"] == 70:  # then the sample at the end is of the same weights
        assert samples[70].strip() in finished.output


def test_the_config_is_shown_as_it_stands_in_the_run_folder(address, tags, finished):
    (config,) = shown_texts(address, find_tag(tags, "config")).values()
    assert config.strip() == (finished.folder / "config.yaml").read_text().strip()


# A map of 16 x 16 cells for each of two heads, and one of the 16 positions, with what is around.
@pytest.mark.parametrize(
    ("tag", "size"), [("attention", (508, 282)), ("position_similarity", (642, 586))]
)
def test_pictures_are_shown_at_every_validation(address, tags, tag, size):
    assert set(tags["images"]) == {"attention", "position_similarity"}
    events = read_json(address, "images/images", run=RUN, tag=tag, sample=0)
    assert [event["step"] for event in events] == [30, 60, 70]
    found = []
    for event in events:
        found.append(read(address, "images/individualImage", event["query"]))
        assert Image.open(io.BytesIO(found[-1])).size == size
    assert len(set(found)) == 3
