"""Which names a run's folder may have, on whatever system."""

import pytest

from transformer.storage.run_names import check_name
from transformer.system.errors import UserError


@pytest.mark.parametrize(
    "name", ["tiny", "a.b", ".hidden", "Ein Lauf", "日本", "console", "-x", "a" * 255]
)
def test_any_plain_name_is_one_of_a_folder(name):
    check_name(name, "run_name")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("..", "it is nothing but dots and spaces"),
        (" ", "it is nothing but dots and spaces"),
        ("lr:0.001", "it has a ':'"),
        ("a?", r"it has a '\?'"),
        ("a/b", "it has a '/'"),
        ("a\nb", r"it has a '\\n'"),
        ("\ud800", r"it has a '\\ud800'"),
        ("a ", "it ends with a ' '"),
        ("a.", r"it ends with a '\.'"),
        ("CON", "Windows reserves it for a device"),
        ("nul.v2", "Windows reserves it for a device"),
        ("com1", "Windows reserves it for a device"),
        ("a" * 256, "it is longer than 255 bytes"),
        ("日" * 86, "it is longer than 255 bytes"),
    ],
)
def test_any_other_is_an_error_with_the_reason_and_the_way_out(name, reason):
    with pytest.raises(UserError, match=f"x.yaml: .* cannot be named .*: {reason}; rename it"):
        check_name(name, "x.yaml", "rename it")
