"""The library as a service for many people at once: a job that was accepted is never lost."""
