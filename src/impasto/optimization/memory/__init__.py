"""Memory of an optimisation: how much it needs, and where its arrays are kept if that is not free."""
