"""Bundles: one file with which a reviewer replays a decision and its report, and can recompute an arm."""
