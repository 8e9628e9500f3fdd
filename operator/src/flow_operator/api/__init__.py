"""The API `flow-operator.io/v1alpha1`: the one source of truth for CRDs, defaults and docs."""
