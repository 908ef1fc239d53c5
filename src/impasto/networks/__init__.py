"""Networks that are trained to paint."""
