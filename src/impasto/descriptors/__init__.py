"""Descriptor networks, which are frozen feature networks, and the files of their weights."""
