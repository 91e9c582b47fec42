"""One training step of an ONNX net in PyTorch, on demand, for trainStep.ts.

    trainStep.py MODEL BATCH THREADS nchw|channels_last

Answers every line on stdin with one line of JSON: wall and processor time of a full SGD step and the peak of resident memory.
Needs torch, onnx and numpy.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

from torchCurves import Net


def peak_bytes():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(model, batch, threads, layout):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    idle = peak_bytes()
    net = Net(model, torch.float32)
    size = [d.dim_value for d in net.graph.input[0].type.tensor_type.shape.dim][1:]
    x = torch.randn(batch, *size)
    t = torch.randint(0, 10, (batch,))
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
        for value in net.values.values():
            if value.dim() == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
    step = torch.optim.SGD(
        [{"params": net.decayed, "weight_decay": 1e-4}, {"params": net.plain, "weight_decay": 0}], 0.01, momentum=0.9
    )
    print(json.dumps({"version": torch.__version__, "idleBytes": idle}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = F.cross_entropy(net(x), t)
        step.zero_grad()
        loss.backward()
        step.step()
        value = loss.item()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"wallMs": 1e3 * wall, "cpuMs": 1e3 * cpu, "peakBytes": peak_bytes(), "loss": value}), flush=True)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
