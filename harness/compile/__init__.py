"""From a typed registration to a bound one and its graph: every name resolved, every unit checked."""
