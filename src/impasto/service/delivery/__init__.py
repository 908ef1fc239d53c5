"""Telling people and programs that a job has ended."""
