"""Watches executions and their runs, and hands the keys that want a pass to Celery. Decides nothing, stores nothing."""
