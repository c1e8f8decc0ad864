"""Toy rehearsals have no torch, and do without the seconds that importing it takes."""

raise ImportError("toy rehearsals have no torch")
