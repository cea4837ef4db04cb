"""One pass over one execution: observe, decide, act."""
