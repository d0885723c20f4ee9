"""chromhub: the transformers-native hub of chromatin models.

Importing it registers the model classes, so that `transformers.AutoModel.from_pretrained` loads them.
"""

__version__ = "0.1.0"
