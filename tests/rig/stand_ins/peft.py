"""Toy rehearsals have no peft, and do without the seconds that importing it takes."""

raise ImportError("toy rehearsals have no peft")
