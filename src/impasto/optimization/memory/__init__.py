"""The memory that an optimisation needs, and storage on disk if less memory is free."""
