"""Stages: the steps that make arms. One file per kind."""
