"""A folder of another program goes out as it came in: weights to the last bit, ids and texts."""

import pytest
import torch

from tests.marks import first_fast
from tests.storage.pretrained.conftest import make_theirs, write_tokenizer
from transformer.export.hugging_face.reloaded import ReloadedFolder
from transformer.storage.model_file import load_model

# The tokenizers have fewer tokens than the models rows; "gpt2" has no decoder, "qwen" NFC.
KINDS = [("GPT2", "gpt2"), ("Llama", "llama3"), ("Qwen3", "qwen"), ("Llama", "smollm")]


@pytest.mark.parametrize(("kind", "tokenizer"), first_fast(KINDS, several=True))
def test_a_folder_of_another_program_goes_out_as_it_came_in(
    exported, all_texts, tmp_path, generator, kind, tokenizer
):
    theirs = make_theirs(kind, generator)
    theirs.save_pretrained(tmp_path / "in")
    write_tokenizer(tmp_path / "in", tokenizer)
    folder, (_, compared) = exported(load_model(tmp_path / "in"))
    assert "ids and text of 1,000 hostile strings" in compared
    expected, found = theirs.state_dict(), ReloadedFolder(folder).model.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
