"""
Exports the corpus to ONNX: every architecture by the TorchScript exporter, some by the dynamo exporter as well.

    python test/corpus/export.py DIR [--only NAME …]

Files that are there already stay. One file per net; the dynamo exporter writes its weights beside the model.
"""

import argparse
import logging
import os
import sys
import time
import traceback
import warnings

import torch

from architectures import ARCHITECTURES, build

DYNAMO = [
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2", "densenet121", "regnet_y",
    "ghostnet", "convnext", "vit_tiny", "swin_tiny", "mobilevit", "unet", "deeplab_v3", "yolo", "super_resolution", "cbam",
]
# Batch normalisation stays a node of its own, and the batch is dynamic.
UNFUSED = ["resnet50", "mobilenet_v3_large", "densenet121", "googlenet", "yolo"]
OPSETS = {"resnet18": 9, "squeezenet": 10, "mobilenet_v2": 11, "googlenet": 12, "densenet121": 13, "unet": 15}


def classic(net, x, path, opset, unfused):
    mode = torch.onnx.TrainingMode
    torch.onnx.export(
        net, (x,), path, dynamo=False, opset_version=opset, input_names=["image"],
        training=mode.PRESERVE if unfused else mode.EVAL,
        dynamic_axes={"image": {0: "batch"}} if unfused else None,
    )


def dynamo(net, x, path):
    torch.onnx.export(net, (x,), path, dynamo=True, input_names=["image"], verbose=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--only", nargs="*")
    o = parser.parse_args()
    os.makedirs(o.dir, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    jobs = [(name, "classic", "") for name in ARCHITECTURES]
    jobs += [(name, "unfused", "-bn") for name in UNFUSED]
    jobs += [(name, "dynamo", "-dynamo") for name in DYNAMO]
    failed = []
    for name, how, suffix in jobs:
        path = os.path.join(o.dir, f"{name}{suffix}.onnx")
        if os.path.exists(path) or (o.only and name not in o.only):
            continue
        start = time.time()
        folder = f"{path}.part"
        try:
            net, x = build(name)
            os.makedirs(folder, exist_ok=True)
            part = os.path.join(folder, os.path.basename(path))
            if how == "dynamo":
                dynamo(net, x, part)
            else:
                classic(net, x, part, OPSETS.get(name, 17), how == "unfused")
            for f in sorted(os.listdir(folder), key=lambda f: f.endswith(".onnx")):
                os.replace(os.path.join(folder, f), os.path.join(o.dir, f))
            os.rmdir(folder)
            print(f"{os.path.basename(path)} {time.time() - start:.1f} s", flush=True)
        except Exception as e:  # reported below; the other nets go on
            failed.append(path)
            print(f"{os.path.basename(path)} FAILED: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", flush=True)
            traceback.print_exc(file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
