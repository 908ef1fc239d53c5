"""What an optimisation or a training makes small."""
