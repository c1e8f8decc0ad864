"""Probes: measures of hidden states and of training. One file per kind."""
