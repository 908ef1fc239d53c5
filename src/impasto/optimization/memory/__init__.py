"""Memory of an optimisation: the required amount, and storage on disk if less memory is free."""
