"""What the tests need of pytest itself; the plugin is named by the conftest above."""

pytest_plugins = ["pytester"]
