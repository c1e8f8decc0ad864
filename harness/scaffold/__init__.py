"""Commented preregistrations to start from: ``prereg new``."""
