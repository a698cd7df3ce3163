"""How samples of a text begin: as its config says, or as the text's own lines do."""

import pytest

from transformer.config.keys import Config
from transformer.data.text.corpus import Corpus, Text
from transformer.data.text.split import Cuts
from transformer.tasks.prompts import choose_prompt, frequent_beginning
from transformer.tasks.text import TextTask

NOVEL = "The sea was calm.\nNobody spoke.\n\nThe boat went on.\nA gull cried.\nThe sun set.\n"


def corpus_of(text: str) -> Corpus:
    return Corpus.from_text(Text(text), Cuts(len(text), len(text)))


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (NOVEL, "The"),
        ("HAMLET:\nTo be.\n\nGHOST:\nSwear.\n\nHAMLET:\nRest.\n", "HAMLET:"),
        ("Мой дядя\nКогда не в шутку\nМой пример\n", "Мой"),
        ("天地玄黃\n天高氣清\n日月盈昃\n", "天"),  # no two lines begin with one word
        ("beta\nalpha\nbeta\nalpha\n", "beta"),  # of several the first
        ("one line without an end", "one"),
        ("- a\n- b\n", ""),
        ("\n\n", ""),
    ],
)
def test_the_most_frequent_beginning_of_a_line_is_found(text, beginning):
    assert frequent_beginning(text) == beginning


def test_a_prompt_that_the_text_can_spell_is_kept(caplog):
    for prompt in ("Nobody", "\n", "The sun"):
        assert choose_prompt(prompt, corpus_of(NOVEL), "novel.txt") == prompt
    assert choose_prompt("", corpus_of(NOVEL), "novel.txt") == "The"
    assert caplog.messages == []


def test_a_prompt_with_characters_that_the_text_lacks_is_replaced_with_a_word(caplog):
    assert choose_prompt("ROMEO:", corpus_of(NOVEL), "novel.txt") == "The"
    assert caplog.messages == [
        "sample_prompt 'ROMEO:' is not used: novel.txt has no ':', 'E', 'M', 'O', 'R'; samples "
        "start with 'The'"
    ]


def test_the_config_of_a_run_holds_the_prompt_that_is_used():
    keys = {"batch_size": 3, "epochs": 1, "lr": 1e-3, "data_path": "novel.txt", "block_size": 5}
    keys |= {"num_heads": 1, "embedding_dim": 2, "num_blocks": 1, "num_workers": 0}
    config = TextTask().settle(Config(**keys), corpus_of(NOVEL))
    assert config.sample_prompt == "The"
    assert TextTask().settle(config, corpus_of(NOVEL)) == config
