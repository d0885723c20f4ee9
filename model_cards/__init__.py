"""The model card template and the rendered cards (data only)."""
