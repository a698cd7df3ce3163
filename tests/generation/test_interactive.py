"""The prompt loop: what a line does to the text and to the settings."""

import pytest

from transformer.data.tokenizers.characters import CharacterTokenizer
from transformer.generation.interactive import PromptLoop
from transformer.generation.options import GenerateOptions
from transformer.generation.text import TextGenerator

VOCABULARY = "\n abcdefghijk"  # 13 characters: as many as the tokens of make_gpt


@pytest.fixture
def writer(make_gpt):
    return TextGenerator(make_gpt(), CharacterTokenizer(VOCABULARY))


@pytest.fixture
def talk(writer):
    """Gives the loop after these lines, and all that was shown."""

    def run(*lines, **options):
        shown = []
        settings = GenerateOptions(max_new_tokens=11, **options)
        loop = PromptLoop(writer, settings, seed=5, write=shown.append)
        waiting = iter(lines)

        def read_line():
            line = next(waiting, None)
            if line is None:
                raise EOFError
            return line

        loop.run(read_line)
        return loop, "".join(shown)

    return run


def test_a_line_is_gone_on_with(talk, writer):
    (text,) = writer.generate("abc", max_new_tokens=11, temperature=0.8, seed=5)
    loop, shown = talk("abc")
    assert loop.text == text
    assert shown == f"{text}\n\n"  # the last line end is that of leaving


def test_the_next_line_is_put_behind_the_text_so_far(talk, writer):
    settings = {"max_new_tokens": 11, "temperature": 0.8}
    (first,) = writer.generate("abc", seed=5, **settings)
    (second,) = writer.generate(first + "de", seed=6, **settings)
    assert talk("abc", "de")[0].text == second
    (third,) = writer.generate(first, seed=6, **settings)
    assert talk("abc", "")[0].text == third


def test_reset_forgets_the_text_so_far(talk, writer):
    (text,) = writer.generate("de", max_new_tokens=11, temperature=0.8, seed=6)
    assert talk("abc", "/reset", "de")[0].text == text


def test_seed_makes_the_same_text_again(talk):
    first, _ = talk("abc")
    again, shown = talk("abc", "/reset", "/seed 5", "abc")
    assert again.text == first.text
    assert "seed 5\n" in shown


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ("/temperature 0.7", "temperature", 0.7),
        ("/temperature 0", "temperature", 0.0),
        ("/top_k 3", "top_k", 3),
        ("/top_p 0.9", "top_p", 0.9),
        ("/min_p 0.1", "min_p", 0.1),
        ("/repetition_penalty 1.3", "repetition_penalty", 1.3),
        ("/max_new_tokens 3", "max_new_tokens", 3),
    ],
)
def test_a_setting_is_changed_and_shown(talk, command, setting, value):
    loop, shown = talk(command, command.split()[0])
    assert getattr(loop.options, setting) == value
    assert shown.count(f"{setting} {value}\n") == 2


def test_a_setting_is_unset_and_acts(talk, writer):
    loop, _ = talk("/top_k 1", "/top_k none", "/temperature 0", "abc")
    assert loop.options.top_k is None
    assert [loop.text] == writer.generate("abc", max_new_tokens=11, temperature=0.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/temperatur 1", "unknown command 'temperatur': did you mean temperature"),
        ("/temperature hot", "temperature must be a number, got 'hot'"),
        ("/temperature -1", "temperature must be at least 0"),
        ("/max_new_tokens none", "max_new_tokens must be"),
        ("/", "unknown command '': /help lists them"),
        ("/zzzzzz", "unknown command 'zzzzzz': /help lists them"),
        ("abcé", "the model never saw 'é'"),
    ],
)
def test_a_mistake_is_one_line_and_the_loop_goes_on(talk, line, message):
    loop, shown = talk(line, "abc")
    assert message in shown.splitlines()[0]
    assert loop.text.startswith("abc")


def test_a_text_that_is_interrupted_is_kept_as_far_as_it_got(talk, writer, monkeypatch):
    (whole,) = writer.generate("abc", max_new_tokens=11, temperature=0.8, seed=5)
    write = writer.write

    def interrupted(*args, **keywords):
        for number, step in enumerate(write(*args, **keywords)):
            if number == 4:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(writer, "write", interrupted)
    loop, shown = talk("abc", "/help")
    assert loop.text == whole[: 3 + 5]
    assert "/reset" in shown


def test_the_stop_text_ends_a_text(talk, writer):
    (text,) = writer.generate("abc", max_new_tokens=11, temperature=0.8, seed=5)
    loop, _ = talk("abc", stop=(text[6:8],))
    assert loop.text == text[: text.index(text[6:8], 3)]
