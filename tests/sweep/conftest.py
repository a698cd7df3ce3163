"""Plans of sweeps, whose runs are not trained here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transformer.config.files import load_config
from transformer.sweep.plan import Plan
from transformer.sweep.planning import base_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def base() -> dict[str, Any]:
    return base_of(load_config(ROOT / "configs" / "nine-keys.yaml", {"max_steps": 81}))


@pytest.fixture(scope="session")
def make_plan(base: dict[str, Any]) -> Callable[..., Plan]:
    """`make_plan("grid", {"lr": Choice((1e-3, 1e-2))}, seeds=2)`, with 81 steps a run."""

    def make(search: str, space: Any = (), **settings: Any) -> Plan:
        return Plan(base, search, dict(space), **settings)

    return make
