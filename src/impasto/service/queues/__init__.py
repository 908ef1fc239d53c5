"""Queues: workers poll the job table, or a broker tells them about jobs."""
