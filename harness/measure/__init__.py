"""Measurement tables: recorded data, checks against the plan, and their stored form."""
