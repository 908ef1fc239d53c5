"""Acceptance of requests as jobs."""
