"""DataStorage: the audit service. HTTP in, SQL out."""
