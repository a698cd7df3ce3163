"""Prints the tables that compare our speeds with other programs, in docs/results.md and pairs.md.

`python benchmarks/comparison.py` reads the files in results/ and measures nothing.
"""

from typing import Any

from record import PUBLISHED, load
from tabulate import tabulate

HEADER = ("on two CPU cores", "Hugging Face's GPT-2", "here", "script")


def published(name: str) -> Any:
    return load(name, PUBLISHED)["figures"]


def table() -> str:
    to_loss = published("time_to_loss")["medians"]
    training, writing = (
        published("train_speed"),
        published("generate_speed"),
    )
    baseline, quick, longer = (to_loss[side] for side in ("baseline", "quick", "same time"))
    rows = [
        (
            "whole process: seconds, and the loss it ends with",
            *(f"{side['seconds']:.0f} s, {side['val_loss']:.2f}" for side in (baseline, quick)),
            "`time_to_loss.py`",
        ),
        (
            "loss after the time of that process",
            *(f"{side['val_loss']:.2f}" for side in (baseline, longer)),
            "`time_to_loss.py`",
        ),
    ]
    for shape, row in training.items():
        rates = (row["tokens_per_second"][side] for side in ("hugging face float32", "ours"))
        name = f"training, {shape}, tokens/s (its float32, our bf16)"
        rows.append((name, *(f"{rate:,.0f}" for rate in rates), "`train_speed.py`"))
    for case, row in writing.items():
        rates = row.get("tokens_per_second", {})
        if "hugging face" in rates:
            name = f"writing, {case}, tokens/s"
            name += f" (our {row['format']})" if row["format"] != "float32" else ""
            shown = (f"{rates[side]:,.0f}" for side in ("hugging face", "ours"))
            rows.append((name, *shown, "`generate_speed.py`"))
    return tabulate(rows, HEADER, tablefmt="pipe", disable_numparse=True)


def pair_table() -> str:
    """The encoder-decoder: training against torch.nn.Transformer, decoding without a cache."""
    training, decoding = (
        published("pair_train_speed"),
        published("translate_speed"),
    )
    rows = []
    for dropout in ("0.1", "0.0"):
        rates = training[f"dropout {dropout}"]["pairs_per_second"]
        for theirs in ("float32", "bf16"):
            name = f"training, dropout {dropout}, pairs/s (its {theirs}, our bf16)"
            shown = (rates[f"nn.Transformer {theirs}"], rates["ours bf16"])
            rows.append((name, *(f"{rate:,.0f}" for rate in shown), "`pair_train_speed.py`"))
    rates = decoding["words_per_second"]
    for side in ("beam 5", "beam 5 float32", "greedy"):
        shown = (rates[f"{side} uncached"], rates[side])
        name = f"decoding, {side}, words/s (ours without its cache, and with)"
        rows.append((name, *(f"{rate:,.0f}" for rate in shown), "`translate_speed.py`"))
    header = ("on two CPU cores", "beside", "here", "script")
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    print(f"{table()}\n\n{pair_table()}")
