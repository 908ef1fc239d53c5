"""The library as a service for many users. An accepted job is never lost."""
