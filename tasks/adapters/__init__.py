"""What talks to an outside system over HTTP: the API server and DataStorage."""
