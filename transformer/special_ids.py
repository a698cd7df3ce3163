"""The ids that data and models must agree on. Imports nothing."""

# The first ids of a vocabulary that is made for pairs; its units follow.
PADDING = 0
BEGIN = 1
END = 2
NUM_SPECIALS = 3

IGNORED = -100  # the target that F.cross_entropy leaves out
