"""DNA strings -> base codes: the one place in a checkpoint that knows the order of the bases."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

_CODES = np.full(256, 4, dtype=np.uint8)
for _code, _base in enumerate("ACGT"):
    _CODES[ord(_base)] = _CODES[ord(_base.lower())] = _code


class DnaFeatureExtractor(FeatureExtractionMixin):
    """Encode DNA as uint8 codes, A0 C1 G2 T3; N and every other letter 4 (all zeros in the one-hot).

    Args:
        input_length: bp the model was trained on, for the record.
        **kwargs: what `preprocessor_config.json` holds besides.
    """

    model_input_names = ["inputs"]  # noqa: RUF012

    def __init__(self, input_length: int = 2048, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_length = input_length
        self.alphabet = "ACGT"

    def __call__(self, sequences: str | Sequence[str], return_tensors: str | None = "pt") -> BatchFeature:
        """Encode sequences of one length.

        Args:
            sequences: DNA, upper or lower case; one string is a batch of one.
            return_tensors: "pt" or "np".

        Returns:
            `inputs`: (B, L) uint8 codes.

        Raises:
            ValueError: no sequence, an empty one, or different lengths.
        """
        batch = [sequences] if isinstance(sequences, str) else list(sequences)
        lengths = sorted({len(sequence) for sequence in batch})
        if len(lengths) != 1 or lengths[0] == 0:
            raise ValueError(f"`sequences` must be non-empty strings of one length, got lengths {lengths}")
        codes = np.stack([_CODES[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)] for sequence in batch])
        return BatchFeature({"inputs": codes}, tensor_type=return_tensors)


__all__ = ["DnaFeatureExtractor"]
