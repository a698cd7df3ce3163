"""Prints the tables that compare our speeds with other programs, in docs/results.md and pairs.md.

`python benchmarks/comparison.py` reads the files in results/ and measures nothing.
"""

from typing import Any

from record import PUBLISHED, SHOWN, load
from tabulate import tabulate

HEADER = ("Hugging Face's GPT-2", "here", "script")
TABLES = {"AMD EPYC": PUBLISHED, "Intel Xeon with AMX": SHOWN["with bf16"]}  # on two cores of each


def published(name: str, folder: str = PUBLISHED) -> Any:
    return load(name, folder)["figures"]


def table(processor: str) -> str:
    names = ("time_to_loss", "train_speed", "generate_speed")
    to_loss, training, writing = (published(name, TABLES[processor]) for name in names)
    to_loss = to_loss["medians"]
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
    header = (f"on two cores of an {processor}", *HEADER)
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


def auto_table(folder: str = SHOWN["with bf16"]) -> str:
    """Training and writing as `auto` settles them, beside the best of the fixed choices."""
    rows = []
    for name, row in published("auto", folder).items():
        precision, compiled, threads = row["chosen"].split()
        how = "compiled" if compiled == "true" else "not compiled"
        chosen = f"{precision}, {how}, threads: {threads}"
        rows.append((f"train.py, {name}, {row['steps']} steps", chosen, row["auto_over_best"]))
    for name, row in published("writing_formats", folder).items():
        size, texts = name.removesuffix(" rows").split(", ")
        what = f"generate.py, {size}, texts at a time: {texts}"
        rows.append((what, row["chosen"], 1 / row["auto_over_best"]))
    rows = [(what, chosen, f"{ratio:.2f}") for what, chosen, ratio in rows]
    header = ("", "auto takes", "its time / the best's")
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True)


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
    tables = [*map(table, TABLES), auto_table(), pair_table()]
    print("\n\n".join(tables))
