"""Statistics: one file per function of the formula language, and the inference methods behind ``p`` and ``ci``."""
