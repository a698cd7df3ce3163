"""Texts that a page must show as text."""

HOSTILE = "a</script>\"'<!-- \u2028שלום 😀e\u0301&amp;\nb"
