"""The files of a model folder by name: what makes the model, what tells of it, and what evaluations leave beside it."""

BUNDLE = "modeling_chromhub.py"  # a push writes the model's code so; any other Python file is somebody's own
_WEIGHTS = ("{}.safetensors", "{}-[0-9]*-of-[0-9]*.safetensors", "{}.safetensors.index.json")
MODEL_FILES = ("config.json", "preprocessor_config.json", *(name.format("model") for name in _WEIGHTS))
ADAPTER_FILES = ("adapter_config.json", *(name.format("adapter_model") for name in _WEIGHTS))
METRICS = "metrics.json"
RECORD_FILES = ("recipe.yaml", "provenance.json", "history.json", "training_curve.png", METRICS)
EVALUATION_FILES = (
    *(METRICS, "metrics.tsv", "report.html", "scatter.png", "tracks.png", "chromosomes.png", "calibration.png"),
    *("profiles.png", "training_curve.png", "classes.png"),
)
EVALUATION_MARKS = {METRICS: '"results"'}
FOLDER_FILES = (
    *(*MODEL_FILES, BUNDLE, *ADAPTER_FILES, *RECORD_FILES, "digests.json", "README.md"),
    *(f"evaluation*/{name}" for name in EVALUATION_FILES),
)
# One of these lies in each folder of ours, and in nobody else's.
FOLDER_MARKS = {
    "config.json": '"model_type": "chromhub-',
    "provenance.json": '"trained_on"',
    "adapter_config.json": '"peft_type"',
}
