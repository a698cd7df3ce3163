"""The loop that translates: what a line and a command do."""

import pytest

from transformer.data.tokenizers.pairs import PairTokenizer, UnitTokenizer
from transformer.generation.interactive import TRANSLATION_HELP, TranslationLoop
from transformer.generation.options import GenerateOptions
from transformer.generation.translation import Translator


@pytest.fixture
def translator(make_encoder_decoder):
    """Of 14 letters and 10 digits: the sizes of make_encoder_decoder less the special ids."""
    source = UnitTokenizer("characters", [*"abcdefghijklmn"])
    target = UnitTokenizer("characters", [*"0123456789"])
    return Translator(make_encoder_decoder(), PairTokenizer(source, target))


@pytest.fixture
def talk(translator):
    """Gives the loop after these lines, and the lines that were shown but for that of leaving."""

    def run(*lines, **options):
        shown = []
        loop = TranslationLoop(translator, GenerateOptions(**options), shown.append)
        waiting = iter(lines)

        def read_line():
            line = next(waiting, None)
            if line is None:
                raise EOFError
            return line

        loop.run(read_line)
        text = "".join(shown)
        assert text.endswith("\n\n") or text == "\n"
        return loop, text[:-1].splitlines()

    return run


def test_each_line_is_translated_by_itself(talk, translator):
    sources = ["abc", "n", "abc", "hijklmn"]
    expected = [translator.translate([source])[0] for source in sources]
    assert len(set(expected)) > 1
    assert talk(*sources)[1] == expected


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [("/num_beams 3", "num_beams", 3), ("/length_penalty 0", "length_penalty", 0.0)],
)
def test_a_setting_is_changed_and_shown(talk, command, setting, value):
    loop, shown = talk(command, command.split()[0])
    assert getattr(loop.options, setting) == value
    assert shown == [f"{setting} {value}"] * 2


def test_a_setting_acts(talk, translator):
    wide = {"num_beams": 5, "length_penalty": 3.0}
    sources = ["abc", "dcb", "mna", "kk"]
    expected = translator.translate(sources, **wide)
    assert expected != translator.translate(sources)
    _, shown = talk("/num_beams 5", "/length_penalty 3", *sources)
    assert shown[2:] == expected
    assert talk(*sources, **wide)[1] == expected


def test_help_is_shown(talk):
    _, shown = talk("/help")
    assert shown == TRANSLATION_HELP.splitlines()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/num_beam 3", "unknown command 'num_beam': did you mean num_beams"),
        ("/temperatur 3", "unknown command 'temperatur': /help lists them"),
        ("/num_beams 0", "num_beams must be"),
        ("/num_beams many", "num_beams must be"),
        ("/length_penalty -1", "length_penalty must be at least 0"),
        ("abz", "the model never saw 'z'"),
        ("", "the source is empty"),
        ("abcdefgh", "8 characters, but the model reads at most 7"),
    ],
)
def test_a_mistake_is_one_line_and_the_loop_goes_on(talk, translator, line, message):
    _, shown = talk(line, "abc")
    assert message in shown[0]
    assert shown[1:] == translator.translate(["abc"])


def test_what_the_model_never_saw_is_dropped_where_asked_for(talk, translator):
    _, shown = talk("aZbc!", skip_unknown=True)
    assert shown == translator.translate(["abc"])
