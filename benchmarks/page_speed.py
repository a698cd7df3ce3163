"""Measures the page that runs a model, in a headless Chromium: writing and explaining.

`python benchmarks/page_speed.py` makes a GPT of the sizes of `configs/default.yaml` with random
weights and puts it into a page, as `export.py --to html` does. The engine runs in a worker of that
page, once with SIMD instructions and once in plain JavaScript. Times are what the page waits for an
answer; medians go to page_speed.json. `typed` adds one character to a text of about 100, `moved`
explains another 128 characters, as each key does in a text that is longer than the context.
"""

import argparse
import os
import shutil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from record import DEFAULT_CONFIG, save

from transformer.config.files import load_config
from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.models import build_model
from transformer.models.families.registry import FAMILIES
from transformer.pages.engine import engine_script
from transformer.pages.live.page import live_page
from transformer.storage.saved_model import SavedModel

CHARACTERS = "".join(map(chr, range(33, 98)))  # 65, as Shakespeare has
OPEN = """async ([engine, kind]) => {
  const text = (id) => document.getElementById(id).textContent;
  const script = engine + `\\nproductKind = "${kind}";`;
  const worker = new Worker(URL.createObjectURL(new Blob([script])));
  let count = 0;
  const waiting = new Map();
  worker.onmessage = ({ data }) => "event" in data || waiting.get(data.id)(data);
  window.asked = async (method, ...args) => {
    const started = performance.now();
    const { error } = await new Promise((answer) => {
      waiting.set(++count, answer);
      worker.postMessage({ id: count, method, args });
    });
    if (error) throw new Error(error);
    return performance.now() - started;
  };
  window.ids = Array.from({ length: 400 }, (_, i) => (i * i * 7 + i) % 65);
  return asked("open", { model: text("model"), weights: text("weights") });
}"""
ASKED = {
    "moved": "(k) => asked('explain', ids.slice(k, k + 128))",
    "typed": "(k) => asked('explain', ids.slice(0, 90 + k))",
    "written": "(k) => asked('write', { ids: ids.slice(0, 9), count: 200, sampling: { seed: k } })",
}
NUM_WRITTEN = 200
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


def make_saved() -> SavedModel:
    torch.manual_seed(0)
    config = load_config(DEFAULT_CONFIG[1])
    family = FAMILIES[config.model]
    given = {name: getattr(config, name) for name in family.own_keys()}
    shape = {
        name: getattr(config, name)
        for name in ("block_size", "embedding_dim", "num_heads", "num_blocks")
    }
    model = build_model(config.model, vocab_size=len(CHARACTERS), **shape, **given).eval()
    facts: dict[str, Any] = {"config": {}, "corpus": {}, "results": {}}
    tokenizer = CharacterTokenizer(CHARACTERS)
    return SavedModel(Path("random"), model, tokenizer, model.architecture, **facts)


def measure(page: Page, kind: str, rounds: int) -> dict[str, float]:
    """Milliseconds to open the model, to explain, and characters a second."""
    figures = {"open_ms": page.evaluate(OPEN, [engine_script(), kind])}
    times: dict[str, list[float]] = {}
    for name, call in ASKED.items():
        page.evaluate(call, 39)  # the compiler of the browser warms up
        times[name] = [page.evaluate(call, number) for number in range(rounds)]
    figures["explain_moved_ms"] = median(times["moved"])
    figures["explain_typed_ms"] = median(times["typed"])
    figures["characters_per_second"] = 1000 * NUM_WRITTEN / median(times["written"])
    return {name: round(figure, 1) for name, figure in figures.items()}


def measured(browser: Browser, rounds: int) -> dict[str, Any]:
    saved = make_saved()
    numbers = sum(parameter.numel() for parameter in saved.model.parameters())
    with TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(live_page(saved), encoding="utf-8")
        page = browser.new_page()
        page.goto(path.as_uri())
        figures = {kind: measure(page, kind, rounds) for kind in ("simd", "plain")}
        page.close()
    return {"parameters": numbers, "chromium": browser.version} | figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    with sync_playwright() as driver:
        figures = measured(driver.chromium.launch(executable_path=CHROMIUM), rounds)
    print(save("page_speed", figures))
    print(figures)


if __name__ == "__main__":
    main()
