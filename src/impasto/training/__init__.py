"""Training of everything that impasto ships: data, the loop, and one module per network."""
