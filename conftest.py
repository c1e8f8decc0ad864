"""Names the plugin by its module path, so that a checkout works without installation."""

pytest_plugins = ["harness.plugin.hooks"]
