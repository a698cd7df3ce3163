"""What the tests of token files read."""

from transformer.data.reading import read_text_corpus
from transformer.data.text.settings import TextSettings
from transformer.data.tokenizer_choice import TokenizerChoice

LINES = [f"line {number}: " + "abc é " * (number % 7) + "\r\n" for number in range(997)]
LINES[::50] = ["  - header -\r\n"] * 20


def read(corpora, path, tokenizer="bytes", given=None, **keys):
    settings = TextSettings(block_size=5, tokenizer=tokenizer, **keys)
    recall = (lambda: given) if given else None
    size = 300 if tokenizer == "bpe" else "auto"
    choice = TokenizerChoice(
        tokenizer=tokenizer, vocab_size=size, cache_dir=str(corpora / "cache"), recall=recall
    )
    paths = [str(corpora / one) for one in path.split()]
    return read_text_corpus(paths if len(paths) > 1 else paths[0], settings, choice, build=False)


def folder_of(corpora):
    (found,) = [path for path in (corpora / "cache/tokens").iterdir() if path.is_dir()]
    return found
