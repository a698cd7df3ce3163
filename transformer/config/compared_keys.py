"""Keys that decide whether the losses of two runs can be compared. No torch."""

from transformer.data.tokenizers.registry import PIECE_KEYS

# Which part of the given files the exact scores are of.
SCORED_KEYS = (
    *("val_fraction", "test_fraction", "val_path", "test_path", "val_max_tokens"),
    *("skip_bad_files", "skip_bad_lines", "token_files_from_mb"),
)
# How files become a text: those of val_path, too.
TEXT_KEYS = (
    *("document_separator", "replace_rare", "drop_lines_seen", "drop_duplicates"),
    *("encoding", "text_field"),
)
# With other values of these, a token is another one. A tokenizer follows from its text.
TOKEN_KEYS = {"tokenizer", *PIECE_KEYS, "target_units", "data_path", *TEXT_KEYS}
