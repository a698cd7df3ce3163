"""The files of ONNX graphs. Imports no torch."""

from pathlib import Path

MODEL, ENCODER, DECODER = "model.onnx", "encoder.onnx", "decoder.onnx"
TOKENIZER = "tokenizer.json"
SOURCE_TOKENIZER, TARGET_TOKENIZER = "source_tokenizer.json", "target_tokenizer.json"
ABOUT = "about.json"
NAMES = (ABOUT, MODEL, ENCODER, DECODER, TOKENIZER, SOURCE_TOKENIZER, TARGET_TOKENIZER)


def is_one_file(path: str | Path) -> bool:
    return str(path).lower().endswith(".onnx")
