"""Errors, identity, registries and the artifact store: what every other layer stands on."""
