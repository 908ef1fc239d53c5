"""What an optimisation takes of the memory, and what is done where that does not suffice."""
