"""Prompt loops: the model continues or translates each line, and commands change settings."""

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

Write = Callable[[str], object]

TEXT_HELP = """\
The model continues the text so far plus your line. An empty line adds nothing to the text.
  /reset              delete the text so far
  /seed [N]           show or set the seed of the next text
  /SETTING [VALUE]    show or set max_new_tokens, temperature, top_k, top_p, min_p,
                      repetition_penalty; the value none turns off top_k, top_p and min_p
  /help               show this help
Ctrl+C stops a text; Ctrl+D ends the program."""
TRANSLATION_HELP = """\
The model translates each line.
  /SETTING [VALUE]    show or set num_beams, length_penalty
  /help               show this help
Ctrl+D ends the program."""


class CommandLoop(ABC):
    """Reads lines: prompts, or commands that show or change settings. `write` shows a text."""

    welcome: str
    help: str
    settings: tuple[str, ...]  # commands that show or change the flag of the same name
    commands: tuple[str, ...] = ()  # other commands

    def __init__(self, options: GenerateOptions, write: Write) -> None:
        self.options = options
        self.write = write

    @abstractmethod
    def go_on(self, line: str) -> None:
        """Shows the model's text for a line. Raises: UserError for unknown characters."""

    def run(self, read_line: Callable[[], str]) -> None:
        """Runs until `read_line` raises EOFError or KeyboardInterrupt."""
        while True:
            try:
                line = read_line()
            except (EOFError, KeyboardInterrupt):
                self.write("\n")
                return
            try:
                if line.startswith("/"):
                    self.command(*line[1:].split(maxsplit=1))
                else:
                    self.go_on(line)
            except UserError as error:
                self.write(f"{in_flags(str(error))}\n")

    def command(self, name: str = "", value: str = "") -> None:
        """Raises: UserError for an unknown command or a wrong value."""
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
    """After `/seed S`, the seed of text n is S + n, with n from 0."""

    welcome = "type a line to continue; /help lists the commands, Ctrl+D ends the program"
    help = TEXT_HELP
    settings = ("max_new_tokens", *names(Sampling))
    commands = ("reset", "seed")

    def __init__(
        self, generator: TextGenerator, options: GenerateOptions, seed: int, write: Write
    ) -> None:
        super().__init__(options, write)
        self.generator = generator
        self.seed = seed
        self.text = ""

    def command(self, name: str = "", value: str = "") -> None:
        if name == "reset":
            self.text = ""
            self.write("the text so far is deleted\n")
        elif name == "seed":
            if value:
                self.seed = self._checked("seed", value).seed or 0  # `/seed none` means 0
            self.write(f"seed {self.seed}\n")
        else:
            super().command(name, value)

    def go_on(self, line: str) -> None:
        """Continues the text so far plus the line, and shows the new text."""
        options = self.options
        known = self.generator.drop_unknown(line)[0] if options.skip_unknown else line
        (row,) = self.generator.begin(
            [self.text + known], options.stop, heal_prompt=options.heal_prompt
        )
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
            self.text = row.prompt + row.whole_text
        self.write(f"{row.take(final=True)}\n")


class TranslationLoop(CommandLoop):
    welcome = "type a line to translate; /help lists the commands, Ctrl+D ends the program"
    help = TRANSLATION_HELP
    settings = tuple(names(Search))

    def __init__(self, translator: Translator, options: GenerateOptions, write: Write) -> None:
        super().__init__(options, write)
        self.translator = translator

    def go_on(self, line: str) -> None:
        source = self.translator.drop_unknown(line)[0] if self.options.skip_unknown else line
        (target,) = self.translator.translate([source], **asdict(self.options.searching))
        self.write(f"{target}\n")
