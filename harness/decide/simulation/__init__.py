"""Simulated experiments: what varies, what is planted, what is drawn, and how the rule decides on it."""
