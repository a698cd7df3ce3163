"""How long files and functions may be, and that the package prints nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("transformer", "tests", "benchmarks")
MOST_LINES = 300  # of a file
MOST_LINES_OF_A_FUNCTION = 40  # its arguments and its docstring among them


def files(*endings: str) -> list[Path]:
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found = [path for path in (*ROOT.glob("*"), *below) if path.suffix in endings]
    assert len(found) > len(FOLDERS)
    return sorted(found)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name of each function with its number of lines; functions within it count as its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def test_a_function_is_counted_from_its_name_to_its_last_line(tmp_path):
    path = tmp_path / "some.py"
    text = "@wraps(f)\ndef outer(\n    a,\n):\n    def inner(): ...\n\n    return a\n"
    path.write_text(text, encoding="utf-8")
    assert list(functions(path)) == [("outer", 6), ("inner", 1)]


def test_no_file_is_longer_than_300_lines():
    paths = files(".py", ".js", ".css", ".html")
    sizes = [(path, len(path.read_text(encoding="utf-8").splitlines())) for path in paths]
    assert [row for row in sizes if row[1] > MOST_LINES] == []


def test_no_function_is_longer_than_40_lines():
    found = [(path, *function) for path in files(".py") for function in functions(path)]
    assert [row for row in found if row[-1] > MOST_LINES_OF_A_FUNCTION] == []


def test_the_package_prints_nothing_but_where_a_line_is_marked():
    found = []
    for path in (ROOT / "transformer").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "print(" not in text:
            continue
        lines = text.splitlines()
        found += [
            (path, lines[node.lineno - 1])
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
        ]
    assert found  # `system/terminal.py` may
    assert [row for row in found if "# noqa: T201" not in row[1]] == []
