"""Weights of descriptor networks: reading any known file, downloading, and a store on this machine."""
