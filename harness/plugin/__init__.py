"""The pytest plugin: collects preregistrations, obtains what they need and decides them."""
