"""How much memory a container has left."""

import math

import pytest

from transformer.system.memory import memory_of_container

ONE = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "700"}
TWO = {
    "memory.max": "1000\n",
    "memory.current": "700\n",
    "memory.stat": "file 90\ninactive_file 50\n",
}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", TWO, 350),
        ("0::/\n", TWO | {"memory.max": "max\n"}, math.inf),
        ("0::/\n", TWO | {"memory.current": "1900\n"}, 0),
        ("0::/a/b\n", {f"a/{name}": text for name, text in TWO.items()}, 350),
        (
            "0::/a\n",
            TWO | {f"a/{name}": text for name, text in TWO.items()} | {"a/memory.max": "800"},
            150,
        ),
        (
            "4:memory:/docker/1\n2:cpu:/\n",
            {f"memory/{name}": text for name, text in ONE.items()}
            | {"memory/memory.stat": "inactive_file 1\ntotal_inactive_file 20\n"},
            320,
        ),
        ("2:cpu:/\n", TWO, math.inf),
        ("0::/\n", {"memory.max": "much"}, math.inf),
        ("no group", TWO, math.inf),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path, groups, files, expected):
    for name, text in {"own": groups, **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert memory_of_container(str(tmp_path / "own"), str(tmp_path)) == expected


def test_without_cgroups_nothing_limits_it(tmp_path):
    nothing = str(tmp_path / "nothing")
    assert memory_of_container(nothing, nothing) == math.inf
