"""The `wfe` command: what a person asks the executor, and the local stack it can be tried on."""
