"""From a bound prereg to jobs with keys: what has to be made, what is there already, what it costs."""
