"""Quantises one model with onnxruntime.quantization: the peer of test/bench/quantizePeers.ts, which calls this.

    python quantizePeers.py MODEL IMAGES.bin DIMS METHOD OUT [BATCH] [LIMIT]

IMAGES.bin holds float32 images of DIMS (comma-separated, without the batch). METHOD is minmax, entropy or percentile.
Prints one line of JSON: seconds of quant_pre_process and quantize_static, and the peak resident memory of this process in bytes.
"""
import json
import os
import resource
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class Reader(CalibrationDataReader):
    def __init__(self, path, dims, name, batch, limit):
        # Mapped, not read: the images themselves are not what takes memory.
        images = np.memmap(path, dtype=np.float32, mode="r").reshape(-1, *dims)
        self.images = images[:limit] if limit else images
        self.name, self.batch, self.at = name, batch, 0

    def get_next(self):
        part = self.images[self.at : self.at + self.batch]
        if len(part) < self.batch:
            return None
        self.at += self.batch
        return {self.name: np.array(part)}


def main():
    model, images, dims, method, out = sys.argv[1:6]
    batch = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    limit = int(sys.argv[7]) if len(sys.argv) > 7 else 0
    dims = [int(d) for d in dims.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        proto = onnx.load(model)
        # Weights that are listed as inputs would be asked of the reader.
        known = {i.name for i in proto.graph.initializer}
        inputs = [i for i in proto.graph.input if i.name not in known]
        del proto.graph.input[:]
        proto.graph.input.extend(inputs)
        opset = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
        if opset < 13:
            proto = onnx.version_converter.convert_version(proto, 13)
        plain, prepared = os.path.join(folder, "plain.onnx"), os.path.join(folder, "prepared.onnx")
        onnx.save(proto, plain)
        begin = time.perf_counter()
        busy = time.process_time()
        try:
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        except Exception:
            prepared = plain
        quantize_static(
            prepared,
            out,
            Reader(images, dims, inputs[0].name, batch, limit),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
        )
        seconds = time.perf_counter() - begin
        cpu_seconds = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpuSeconds": cpu_seconds, "peakBytes": peak, "version": ort.__version__, "onnx": onnx.__version__}))


main()
