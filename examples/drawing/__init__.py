"""The pictures of the README, the docs and the tests, each drawn from nothing by one module."""
