"""What a run will need, worked out before its first step."""

import math

from torch import nn

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
