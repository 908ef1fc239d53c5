"""Losses of optimisations and trainings."""
