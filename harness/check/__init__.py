"""Checks of a registration before anything runs: one file per family of rules."""
