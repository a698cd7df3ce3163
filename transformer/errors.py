"""The one exception that the scripts turn into a line on stderr and exit status 2."""


class UserError(ValueError):
    """A mistake the user can mend; its text is one line that says how."""
