"""The registrations here are wrong on purpose: pytest must not collect them."""

collect_ignore_glob = ["*.yaml"]
