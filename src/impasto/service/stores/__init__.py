"""The job table, in SQLite or PostgreSQL."""
