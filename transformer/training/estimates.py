"""What a run will need, worked out before its first step."""

import math

from torch import nn

from transformer.models.base import SequenceModel

# Of the run's compute; the rest is training.
VALIDATION_SHARE = 0.1
# A forward and a backward pass cost as much as three forward: arXiv:2001.08361, 2.1.
PASSES_PER_TRAINING_STEP = 3
MOST_VALIDATIONS = 50


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Trained numbers under each part's name, a shared one counted where it stands first."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        part = f"{words[0]}: {words[2]}" if words[0].endswith("blocks") else words[0]
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def automatic_val_every_steps(
    total_steps: int, tokens_per_step: int, tokens_per_validation: int
) -> int:
    """Steps apart at which validation, forward passes alone, stays under a tenth of the compute.

    Evenly spread, the last one after the last step, at most MOST_VALIDATIONS in a run; where even
    one is too dear, it is made all the same, at the end.
    """
    share = VALIDATION_SHARE / (1 - VALIDATION_SHARE)
    affordable = tokens_per_validation / (share * PASSES_PER_TRAINING_STEP * tokens_per_step)
    num_validations = min(MOST_VALIDATIONS, max(1, int(total_steps / affordable)))
    return math.ceil(total_steps / num_validations)


def peak_memory_bytes(model: SequenceModel, tokens_per_batch: int) -> int:
    """An estimate, in float32, of what training holds at once: state and one batch's activations.

    State: weights, gradients and two AdamW averages. Activations kept for the backward pass, in
    numbers a token: in a block about 10 C for norms, attention and residuals and 2 F for the
    feed-forward, 3 H T more where a gpt's dropout rules out the fused kernel; four times the
    logits. A token of a pair goes through one side's blocks; a decoder's have 6 C more.
    """
    shape = model.architecture
    numbers = 4 * shape["vocab_size"]
    if "num_blocks" in shape:
        width = shape["embedding_dim"]
        per_block = 10 * width + 2 * (shape["feedforward_dim"])
        if shape["model"] == "encoder_decoder":
            per_block += 3 * width
        elif shape["dropout"]:
            per_block += 3 * shape["num_heads"] * shape["block_size"]
        numbers += shape["num_blocks"] * per_block
    num_parameters = sum(p.numel() for p in model.parameters())
    return 4 * (4 * num_parameters + tokens_per_batch * numbers)
