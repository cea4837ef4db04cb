"""The model test: the real passes, sweep, resync and flush, interleaved at every port call, over small models."""
