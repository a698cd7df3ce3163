"""What a run will need, worked out before its first step."""

from torch import nn

# A forward and a backward pass cost as much as three forward: arXiv:2001.08361, 2.1.
PASSES_PER_TRAINING_STEP = 3
# Of a run that time alone ends: more than any machine takes.
ENDLESS_STEPS = 10**12


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Trained numbers under each part's name, a shared one counted where it stands first."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        part = f"{words[0]}: {words[2]}" if words[0].endswith("blocks") else words[0]
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts
