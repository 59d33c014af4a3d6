"""The suite's options, markers, fixtures and report live in the plugin."""

pytest_plugins = [
    "smallnet_core.plugin",
    "pytester",  # tests/integration runs pytest inside pytest
]
