"""Larq Zoo's networks with random weights as .tflite files for Larq Compute Engine, which networks.py times.

Runs in an environment of its own (Python 3.11):

    pip install larq-compute-engine==0.16.0 tensorflow-cpu==2.15.1 larq==0.14.0 larq-zoo==2.4.0 \\
        numpy==1.26.4 protobuf==3.20.3
    python larq_models.py FOLDER [NAME ...]
"""

import sys
from pathlib import Path

# Larq Zoo's names, and ours
NAMES = {
    "BinaryAlexNet": None,
    "BinaryDenseNet28": "binarydensenet28",
    "BinaryDenseNet37": "binarydensenet37",
    "BinaryDenseNet45": "binarydensenet45",
    "BinaryResNetE18": "binaryresnete18",
    "BiRealNet": "birealnet18",
    "MeliusNet22": "meliusnet22",
    "QuickNet": "quicknet",
    "QuickNetLarge": "quicknet_large",
    "QuickNetSmall": "quicknet_small",
    "RealToBinaryNet": "real_to_binary",
    "XNORNet": "xnornet",
}


def main() -> None:
    """Converts what is not there yet."""
    import larq_compute_engine as lce
    import larq_zoo

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or [name for name, ours in NAMES.items() if ours]:
        path = folder / f"{NAMES[name] or name}.tflite"
        if path.exists():
            continue
        kind = getattr(larq_zoo.literature, name, None) or getattr(larq_zoo.sota, name)
        path.write_bytes(lce.convert_keras_model(kind(weights=None)))
        print(path, path.stat().st_size, flush=True)


if __name__ == "__main__":
    main()
