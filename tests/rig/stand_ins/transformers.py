"""Toy rehearsals have no transformers, and do without the seconds that importing it takes."""

raise ImportError("toy rehearsals have no transformers")
