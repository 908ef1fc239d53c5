"""Comparisons of options on one pair of pictures, and reconstructions of a picture from single layers."""
