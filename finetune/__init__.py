"""Data and a recipe -> a trained checkpoint with its provenance."""
