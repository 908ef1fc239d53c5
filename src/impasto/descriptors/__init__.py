"""Frozen feature networks, and the files their weights come in."""
