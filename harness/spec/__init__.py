"""From a YAML file to a checked registration: loading with line marks, typing by schema, formulas, rehearsals."""
