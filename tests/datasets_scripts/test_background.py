import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from chromhub.datasets_scripts.background import BackgroundSha256


def test_digests_of_small_and_large_pieces() -> None:
    values = np.random.default_rng(0).integers(0, 255, 1 << 18).astype(np.uint8)
    with ThreadPoolExecutor(1) as thread:
        digests = [BackgroundSha256(thread) for _ in range(2)]
        for piece in np.split(values, [10, 100_000, 100_001, 200_000]):
            for digest in digests:  # both share the thread
                digest.update(piece)
        assert {digest.hexdigest() for digest in digests} == {hashlib.sha256(values).hexdigest()}
        assert BackgroundSha256(thread).hexdigest() == hashlib.sha256().hexdigest()
