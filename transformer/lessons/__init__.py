"""For learners: small classes, the names of tutorials, transformers in plain NumPy."""
