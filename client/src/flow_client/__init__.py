"""The `kubectl flow` plugin and Python SDK of flow-operator."""
