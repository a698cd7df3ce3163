"""Code for learners: a small GPT, the names that tutorials use, and transformers in plain NumPy."""
