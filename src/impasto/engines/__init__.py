"""The engines, which paint a content image in a style."""
