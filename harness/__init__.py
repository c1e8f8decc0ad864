"""Preregistered hypothesis tests for language-model research, run by pytest."""

__version__ = "0.1.0"
