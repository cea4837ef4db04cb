"""Alembic's scripts. A script states its tables itself, so that it stays what it was when the models move on."""
