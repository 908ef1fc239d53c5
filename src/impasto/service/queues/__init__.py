"""Job queues, through which workers find their jobs in the job table."""
