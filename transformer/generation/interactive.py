"""A prompt loop: each line is gone on with, and commands change how."""

from collections.abc import Callable

from transformer.command_line import check_flags
from transformer.config_files import unknown_name
from transformer.errors import UserError
from transformer.generation.options import SAMPLING, GenerateOptions
from transformer.generation.sampling import Sampler
from transformer.generation.text import TextGenerator

# What a command may change; each is the flag of the same name.
SETTINGS = ("max_new_tokens", *SAMPLING)
HELP = """\
A line is put behind the text so far, and the model goes on; an empty line goes on without.
  /reset              forget the text so far
  /seed [N]           show the next text's seed, or set it
  /SETTING [VALUE]    show or set max_new_tokens, temperature, top_k, top_p, min_p,
                      repetition_penalty; none unsets top_k, top_p and min_p
  /help               this
Ctrl+C ends a text; Ctrl+D leaves."""


class PromptLoop:
    """The text so far and the settings; `write` shows pieces of text as they come.

    Text n after `/seed S` is drawn with the seed S + n, n from 0.
    """

    def __init__(
        self,
        generator: TextGenerator,
        options: GenerateOptions,
        seed: int,
        write: Callable[[str], object],
    ) -> None:
        self.generator = generator
        self.options = options
        self.seed = seed
        self.write = write
        self.text = ""

    def run(self, read_line: Callable[[], str]) -> None:
        """Until `read_line` raises EOFError, or KeyboardInterrupt where no text is being made."""
        while True:
            try:
                line = read_line()
            except (EOFError, KeyboardInterrupt):
                self.write("\n")
                return
            try:
                self.take(line)
            except UserError as error:
                self.write(f"{error}\n")

    def take(self, line: str) -> None:
        """One line: a command or a prompt.

        Raises: UserError for an unknown command, a wrong value and characters never seen.
        """
        if line.startswith("/"):
            self.command(*line[1:].split(maxsplit=1))
        else:
            self.go_on(line)

    def command(self, name: str = "", value: str = "") -> None:
        if name == "help":
            self.write(f"{HELP}\n")
        elif name == "reset":
            self.text = ""
            self.write("the text so far is forgotten\n")
        elif name == "seed":
            if value:
                self.seed = self._checked("seed", value).seed or 0  # none: as at 0
            self.write(f"seed {self.seed}\n")
        elif name in SETTINGS:
            if value:
                self.options = self._checked(name, value)
            self.write(f"{name} {getattr(self.options, name)}\n".lower())
        else:
            known = ["help", "reset", "seed", *SETTINGS]
            hint = unknown_name("command", name, known, "/help lists them")
            raise UserError(hint)

    def go_on(self, prompt: str) -> None:
        """Shows what the model makes of the text so far and the prompt, and adds both to it."""
        options = self.options
        known = self.generator.known(prompt, options.skip_unknown)
        (row,) = self.generator.begin([self.text + known], options.stop)
        sampler = Sampler(**options.sampling, seed=self.seed)
        self.seed += 1
        steps = self.generator.write([row], max_new_tokens=options.max_new_tokens, sampler=sampler)
        try:
            self.write(known)
            for _ in steps:
                self.write(row.take())
        except KeyboardInterrupt:
            steps.close()
        finally:
            self.text = row.prompt + row.text
        self.write(f"{row.take(final=True)}\n")

    def _checked(self, name: str, value: str) -> GenerateOptions:
        unset = value.lower() in ("none", "null")
        flags = self.options.model_dump() | {name: None if unset else value}
        return check_flags(GenerateOptions, flags)
