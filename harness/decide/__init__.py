"""Estimates, criteria, verdicts and confidence: from measurements to a decision, mechanically."""
