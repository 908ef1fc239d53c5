"""Stores for the pictures of jobs."""
