"""Tests, one folder for each tier and inside it one for each room."""
