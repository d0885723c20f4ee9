"""After training: predict, evaluate."""
