"""Run a real Kubernetes control plane on this machine for development and tests."""
