"""One pair of pictures under many options, and what layers know of one picture."""
