"""`from_pretrained(folder, num_tracks=3, ignore_mismatched_sizes=True)`: a stored configuration for other outputs."""

from typing import Any

_OF_LABELS = ("id2label", "label2id", "class_weights", "label_rule")


def with_outputs(stored: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored configuration, without what it says of outputs where others are asked for.

    Args:
        stored: fields of config.json.
        asked: fields to set instead; `num_tracks`, `track_names`, `num_labels` and `id2label` count here. New tracks
            without names get the configuration's default names; new labels have no weights and no rule yet.
    """
    asked = {name: value for name, value in asked.items() if value is not None}
    stored = dict(stored)
    if "track_names" in asked:
        stored |= {"num_tracks": len(asked["track_names"]), "track_names": asked["track_names"]}
    if "num_tracks" in asked and asked["num_tracks"] != stored.get("num_tracks", 1):
        stored |= {"num_tracks": asked["num_tracks"], "track_names": asked.get("track_names")}
    labels = stored.get("id2label")
    before = len(labels) if isinstance(labels, dict) else 2  # transformers does not store its default
    if asked.get("num_labels", len(asked.get("id2label", range(before)))) != before:
        stored = {name: value for name, value in stored.items() if name not in _OF_LABELS}
        stored |= {name: asked[name] for name in _OF_LABELS if name in asked}
    return stored
