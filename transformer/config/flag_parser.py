"""argparse with one-line errors, and with switches that need no value. Imports no torch."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from transformer.config.files import unknown_name
from transformer.config.scalars import TRUTHS, number
from transformer.system.errors import UserError


def _truth(text: str) -> bool:
    if text not in TRUTHS:
        raise argparse.ArgumentTypeError(f"must be true or false, got {text!r}")
    return TRUTHS[text]


class FlagParser(argparse.ArgumentParser):
    """Raises UserError where argparse would print its usage; flags may not be abbreviated.

    A switch without a value is true. The next word is its value only if it can be one: in
    `--info runs/first` that word is the checkpoint.
    """

    def __init__(self, **arguments: Any) -> None:
        self._switches: dict[str, tuple[str, ...]] = {}  # the values that each takes
        self._numbered: set[str] = set()  # switches that also take a whole number
        super().__init__(allow_abbrev=False, **arguments)
        # -1e-3 is a value, not a flag; Python 3.11's own pattern knows only such as -0.001.
        self._negative_number_matcher = re.compile(r"-\.?(\d|inf)", re.IGNORECASE)

    def add_argument(self, *names: Any, **arguments: Any) -> argparse.Action:
        """As in argparse, but a `store_true` flag also takes a value: `--json false`."""
        if arguments.get("action") == "store_true":
            del arguments["action"]
            arguments |= {"type": _truth, "default": False, "metavar": "true|false"}
            return self.add_switch(names[0], const=True, **arguments)
        return super().add_argument(*names, **arguments)

    def add_switch(
        self, name: str, *words: str, takes_number: bool = False, **arguments: Any
    ) -> argparse.Action:
        """A flag whose value is true, false or one of `words`; without a value it is true."""
        self._switches[name] = (*TRUTHS, *words)
        if takes_number:
            self._numbered.add(name)
        arguments = {"nargs": "?", "const": "true"} | arguments
        return super().add_argument(name, **arguments)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the flags)")

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Reads flags before, between and after other words.

        Raises: UserError for an unknown flag, with the most similar name.
        """
        argv = sys.argv[1:] if argv is None else list(argv)
        known, unknown = self.parse_known_intermixed_args(self._with_values(argv))
        if unknown:
            raise self._mistake(unknown[0].split("=")[0], argv)
        return known

    def _with_values(self, argv: list[str]) -> list[str]:
        """Joins each switch with its value, so that argparse takes no other word as its value."""
        joined: list[str] = []
        words = iter(argv)
        for word in words:
            if word == "--":
                return [*joined, word, *words]
            if joined and self._takes(joined[-1], word):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return [f"{word}=true" if word in self._switches else word for word in joined]

    def _takes(self, name: str, word: str) -> bool:
        """Whether a word behind a switch is its value."""
        is_number = name in self._numbered and number(word) is not None
        return is_number or word in self._switches.get(name, ())

    def _mistake(self, name: str, argv: list[str]) -> UserError:
        if name.startswith("-"):
            names = [flag for flag in self._option_string_actions if flag.startswith("--")]
            return UserError(unknown_name("flag", name, names, "--help lists them all"))
        before = argv[argv.index(name) - 1] if name in argv[1:] else ""
        if before in self._switches:
            known = ["true", "false", *map(repr, self._switches[before][len(TRUTHS) :])]
            key = before.removeprefix("--")
            return UserError(f"{before}: {key} must be {' or '.join(known)}, got {name!r}")
        return UserError(f"unexpected argument {name!r}: flags start with --")
