"""Prompt loops: a line is gone on with, or translated, and commands change how."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict

from transformer.config.files import unknown_name
from transformer.config.flags import check_flags, given
from transformer.config.groups import names
from transformer.decoding.sampling import Sampler
from transformer.decoding.settings import Sampling, Search
from transformer.generation.options import GenerateOptions
from transformer.generation.text import TextGenerator
from transformer.generation.translation import Translator
from transformer.system.errors import UserError, in_flags

TEXT_HELP = """\
A line is put behind the text so far, and the model goes on; an empty line goes on without.
  /reset              forget the text so far
  /seed [N]           show the next text's seed, or set it
  /SETTING [VALUE]    show or set max_new_tokens, temperature, top_k, top_p, min_p,
                      repetition_penalty; none unsets top_k, top_p and min_p
  /help               this
Ctrl+C ends a text; Ctrl+D leaves."""
TRANSLATION_HELP = """\
Each line is a source.
  /SETTING [VALUE]    show or set num_beams, length_penalty
  /help               this
Ctrl+D leaves."""


class CommandLoop(ABC):
    """Lines are taken up, and commands show or change settings; `write` shows pieces of text."""

    welcome: str
    help: str
    settings: tuple[str, ...]  # what a command may change; each is the flag of the same name
    commands: tuple[str, ...] = ()  # the others

    def __init__(self, options: GenerateOptions, write: Callable[[str], object]) -> None:
        self.options = options
        self.write = write

    @abstractmethod
    def go_on(self, line: str) -> None:
        """Shows what the model makes of a line."""

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
                self.write(f"{in_flags(str(error))}\n")

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
            self.write(f"{self.help}\n")
        elif name in self.settings:
            if value:
                self.options = self._checked(name, value)
            self.write(f"{name} {getattr(self.options, name)}\n".lower())
        else:
            known = ["help", *self.commands, *self.settings]
            raise UserError(unknown_name("command", name, known, "/help lists them"))

    def _checked(self, name: str, value: str) -> GenerateOptions:
        settings = self.options.model_dump() | given({name: value}, GenerateOptions)
        return check_flags(GenerateOptions, settings)


class PromptLoop(CommandLoop):
    """The text so far and the settings.

    Text n after `/seed S` is drawn with the seed S + n, n from 0.
    """

    welcome = "a line is gone on with; /help lists the commands, Ctrl+D leaves"
    help = TEXT_HELP
    settings = ("max_new_tokens", *names(Sampling))
    commands = ("reset", "seed")

    def __init__(
        self,
        generator: TextGenerator,
        options: GenerateOptions,
        seed: int,
        write: Callable[[str], object],
    ) -> None:
        super().__init__(options, write)
        self.generator = generator
        self.seed = seed
        self.text = ""

    def command(self, name: str = "", value: str = "") -> None:
        if name == "reset":
            self.text = ""
            self.write("the text so far is forgotten\n")
        elif name == "seed":
            if value:
                self.seed = self._checked("seed", value).seed or 0  # none: as at 0
            self.write(f"seed {self.seed}\n")
        else:
            super().command(name, value)

    def go_on(self, line: str) -> None:
        """Shows what the model makes of the text so far and the line, and adds both to it."""
        options = self.options
        known = self.generator.drop_unknown(line)[0] if options.skip_unknown else line
        (row,) = self.generator.begin([self.text + known], options.stop)
        sampler = Sampler(seed=self.seed, **asdict(options.sampling))
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


class TranslationLoop(CommandLoop):
    """Sources in, targets out, a line each."""

    welcome = "a line is a source; /help lists the commands, Ctrl+D leaves"
    help = TRANSLATION_HELP
    settings = tuple(names(Search))

    def __init__(
        self, translator: Translator, options: GenerateOptions, write: Callable[[str], object]
    ) -> None:
        super().__init__(options, write)
        self.translator = translator

    def go_on(self, line: str) -> None:
        source = self.translator.drop_unknown(line)[0] if self.options.skip_unknown else line
        (target,) = self.translator.translate([source], **asdict(self.options.searching))
        self.write(f"{target}\n")
