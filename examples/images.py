"""Images of one's own: arrays in an NPZ file, and a convolutional network.

python examples/images.py http://127.0.0.1:8080
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from hposvc.client import Client

ITERATIONS = int(os.environ.get("ITERATIONS", "100"))


def write_images(path: Path, rows: int = 150, seed: int = 0) -> None:
    """Bars that lie or stand in noise, 8 × 8 pixels: ``X`` (rows, 8, 8) of bytes, ``y`` their names, ``ids``."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (rows, 8, 8))
    stands = random.random(rows) < 0.5
    for image, upright, place in zip(images, stands, random.integers(1, 7, rows), strict=True):
        (image.T if upright else image)[place] += 150
    np.savez_compressed(
        path,
        X=images.astype(np.uint8),
        y=np.where(stands, "standing", "lying"),
        ids=np.array([f"picture {i}" for i in range(rows)]),
    )


def main(url: str, folder: Path) -> None:
    """Everything, on the service at ``url``."""
    path = folder / "bars.npz"
    write_images(path)
    with Client(url) as client:
        dataset = client.add_dataset(path)
        print(f"{dataset.rows} images of {dataset.image_shape}")
        job = client.submit(
            {
                "kind": "data_reweighting",
                "dataset": {"id": dataset.id, "label_noise": {"rate": 0.2}},
                "model": {"type": "cnn", "channels": [2], "hidden": []},
                "stop": {"iterations": ITERATIONS},
            }
        )
        result = client.wait(job.id, interval=0.2).result
        assert result is not None, client.job(job.id).error
        print(result["sentence"])
        print(f"of {result['noise']['planted']} wrong labels, found with F1 {result['noise']['f1']:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else Path())
