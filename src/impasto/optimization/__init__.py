"""Minimisation of losses over the pixels of one picture, in NumPy: algorithms, scales, progress and checkpoints."""
