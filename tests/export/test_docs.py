"""docs/export.md: its tables are those of the code."""

import re
from pathlib import Path

from transformer.storage.pretrained.families.registry import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def test_the_table_of_keys_is_that_of_the_classes():
    table = PAGE.split("<!-- keys:")[1].split("<!-- end of keys -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| `?(\w*)`? ?\| `(\w+)` \|$", table, re.MULTILINE)
    first, second, third = ({r.field: r.name for r in kind.table} for kind in FAMILIES.values())
    assert second == third
    assert rows == [(field, first.get(field, ""), name) for field, name in second.items()]
    assert first.keys() <= second.keys()


def test_every_class_is_named_with_its_parts():
    for name, kind in FAMILIES.items():
        assert f"`{name}`" in PAGE
        for field in ("positions", "norm"):
            assert f"`{field}: {kind.parts[field]}`" in PAGE
