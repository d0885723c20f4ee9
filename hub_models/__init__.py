"""The published models: registry, model cards, publishing."""
