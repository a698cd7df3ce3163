"""Numbers about a run that are known before its first step."""

from torch import nn

# A forward and a backward pass cost as much as three forward passes: arXiv:2001.08361, 2.1.
PASSES_PER_TRAINING_STEP = 3
# max_steps of a run that only a time limit ends: more than any machine can do.
ENDLESS_STEPS = 10**12
# Of a process on a CPU, both measured by benchmarks/memory.py: without a model, and for each byte
# of a step's tensors, as the C library's allocator keeps a part of what is freed.
PROGRAM_BYTES, ALLOCATOR_FACTOR = 0.6e9, 1.4
# Of a run, beside what is measured where it runs (imports, steps, scores): the start of Python and
# of the scripts, the data when they are read again, the files at the end. No benchmark times these.
END_SECONDS = 2.0


def process_bytes(step_bytes: float) -> float:
    """Of a process on a CPU whose training steps take so many bytes."""
    return PROGRAM_BYTES + ALLOCATOR_FACTOR * step_bytes


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Counts the parameters of each part; a shared parameter counts in the first part only."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.split(".")
        part = f"{words[0]}: {words[2]}" if words[0].endswith("blocks") else words[0]
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts
