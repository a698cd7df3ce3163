"""Which CUDA device a run of --gpus sees."""

import pytest

from transformer.sweep.gpus import variables_of
from transformer.system.errors import UserError


@pytest.mark.parametrize(
    ("place", "inherited", "seen"),
    [
        ("1", {}, "1"),
        ("1", {"CUDA_VISIBLE_DEVICES": "4,5"}, "5"),
        ("0", {"CUDA_VISIBLE_DEVICES": "GPU-a1, GPU-b2"}, "GPU-a1"),
        ("GPU-b2", {"CUDA_VISIBLE_DEVICES": "GPU-a1,GPU-b2"}, "GPU-b2"),
    ],
)
def test_a_number_counts_the_devices_that_the_sweep_itself_sees(place, inherited, seen):
    assert variables_of(place, inherited) == {"CUDA_VISIBLE_DEVICES": seen}


def test_a_place_without_a_device_leaves_the_environment_as_it_is():
    assert variables_of(None, {"CUDA_VISIBLE_DEVICES": "4"}) == {}


@pytest.mark.parametrize("seen", ["4,5", ""])
def test_a_number_beyond_these_devices_is_told(seen):
    with pytest.raises(UserError, match="devices, counted from 0"):
        variables_of("2", {"CUDA_VISIBLE_DEVICES": seen})
