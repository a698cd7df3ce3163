"""Texts that tokenizers trip over."""

from hypothesis import strategies as st

PIECES = [
    *("e\u0301", "\u0e33\u0e49", "\u0915\u094d\u0937\u093f", "\u05e9\u05b8\u05c1", "\u0627\u0644"),
    *("👩‍👩‍👧", "🏳️‍🌈", "👍🏽", "한", "\u1112\u1161\u11ab", "漢字", "。」", "\ufeff", "\u200b"),
    *("\r", "\r\n", "\n\n", "\n \n", "\t", "\x00", "\x1c", "\x85", "\xa0", "\u2028", "\u3000"),
    *(" ", "  ", " the", "The ", "'s", "'RE", "\u017f", "1", "12", "1234", "\u00bd", "\u0661"),
    *("<|endoftext|>", "<|end", "of", "<s>", "}\n\t", "if (x):", "!!", "...\n", "_", "__a", "\\n"),
    *("\U0010ffff", "\U0001d400", "\ue000", "\u0378", "\uffff"),
]
TEXTS = (
    st.text()  # of all planes, without lone surrogates
    | st.lists(st.sampled_from(PIECES)).map("".join)
    | st.text("ab \n\t\r1.'é漢")
)
