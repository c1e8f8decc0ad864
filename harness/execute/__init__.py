"""Running jobs: children that make artifacts, the locks and devices they take, and how far they are."""
