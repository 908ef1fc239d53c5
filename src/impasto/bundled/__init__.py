"""Weights that come with impasto, each with a card of the same name."""
