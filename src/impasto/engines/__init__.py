"""Picture(s) in, picture out."""
