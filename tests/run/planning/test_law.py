"""The law of the planner: the one that was fitted, and what it must say of any text."""

import pytest
import torch

from transformer.run.planning.law import ERROR, LAW, PILOT_TOKENS, block_parameters


def test_a_text_with_more_to_learn_is_learned_by_heart_sooner():
    """As a script with thousands of symbols: each says more."""

    def rise(promised):
        size = {"width": 128, "num_blocks": 3, "unique": 180_000.0, "dropout": 0.1}
        few, many = (LAW.loss(promised, seen=n * 180_000.0, **size) for n in (5, 20))
        return many - few

    assert rise(4.8) > rise(1.4)


def test_the_law_is_the_one_that_was_fitted(load_benchmark):
    record = load_benchmark("record")
    fitted = record.load("law", record.only_folder("law"))["figures"]
    assert fitted["law"] == LAW._asdict()
    assert round(fitted["rms"]["new text"], 3) == ERROR


@pytest.mark.parametrize("r_drop", [0.0, 1.0])
@pytest.mark.parametrize(("dropout", "width", "blocks"), [(0.0, 64, 6), (0.1, 160, 3)])
def test_the_law_says_what_its_fit_computes(load_benchmark, dropout, width, blocks, r_drop):
    size = block_parameters(width, blocks) / 1e6
    row = [2.0, 1.8, size, 3.0, 0.9, blocks, dropout, r_drop]
    logs = torch.tensor(LAW._replace(floor=1.0), dtype=torch.float64).log()
    computed = load_benchmark("fit_law").guesses_of(logs, torch.tensor([row], dtype=torch.float64))
    said = LAW.loss(
        LAW.pilots(2.0, 1.8, float(PILOT_TOKENS)),
        **{"width": width, "num_blocks": blocks, "seen": 3e6, "unique": 0.9e6},
        **{"dropout": dropout, "r_drop": r_drop},
    )
    assert computed.item() + LAW.floor == pytest.approx(said)
