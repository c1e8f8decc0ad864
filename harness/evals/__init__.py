"""Evals: measures of completions. One file per kind."""
