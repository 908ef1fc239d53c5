"""Delivery of messages that a job has ended, to people and programs."""
