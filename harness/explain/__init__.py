"""A registration in plain English, on one page."""
