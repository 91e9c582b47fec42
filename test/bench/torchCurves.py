"""Loss curves of ONNX nets in PyTorch, for torchCurves.ts: reads FOLDER/job.json, writes FOLDER/losses.json.

Needs torch, onnx and numpy. The net is run node by node, with every weight, bias and normalisation parameter trained.
"""
import json
import pathlib
import sys

import numpy
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


class Net:
    def __init__(self, path, dtype):
        self.graph = onnx.load(path).graph
        self.values = {}
        for t in self.graph.initializer:
            array = onnx.numpy_helper.to_array(t)
            value = torch.from_numpy(array.copy())
            self.values[t.name] = value.to(dtype) if value.is_floating_point() else value
        self.decayed, self.plain = [], []
        for node in self.graph.node:
            slots = {"Conv": [1, 2], "Gemm": [1, 2], "BatchNormalization": [1, 2]}.get(node.op_type, [])
            for i in slots:
                if i < len(node.input) and not self.values[node.input[i]].requires_grad:
                    value = self.values[node.input[i]].requires_grad_()
                    heavy = i == 1 and node.op_type != "BatchNormalization"
                    (self.decayed if heavy else self.plain).append(value)

    def __call__(self, x):
        v = dict(self.values)
        v[self.graph.input[0].name] = x
        for node in self.graph.node:
            a = attributes(node)
            i = [v.get(name) for name in node.input]
            op = node.op_type
            if op == "Conv":
                begin = a.get("pads", [0, 0, 0, 0])[:2]
                y = F.conv2d(i[0], i[1], i[2] if len(i) > 2 else None, a.get("strides", 1), begin, 1, a.get("group", 1))
            elif op == "BatchNormalization":
                y = F.batch_norm(i[0], i[3], i[4], i[1], i[2], True, 0.1, a.get("epsilon", 1e-5))
            elif op == "Relu":
                y = F.relu(i[0])
            elif op == "Clip":
                y = torch.clamp(i[0], 0, 6)
            elif op == "Sigmoid":
                y = torch.sigmoid(i[0])
            elif op == "Mul":
                y = i[0] * i[1]
            elif op == "Add":
                y = i[0] + i[1]
            elif op == "GlobalAveragePool":
                y = i[0].mean((2, 3), keepdim=True)
            elif op == "Flatten":
                y = i[0].flatten(1)
            elif op == "Gemm":
                y = F.linear(i[0], i[1], i[2])
            else:
                raise ValueError(f"no rule for {op}")
            v[node.output[0]] = y
        return v[self.graph.output[0].name]


def optimizer(kind, net, lr):
    def groups(decay):
        return [{"params": net.decayed, "weight_decay": decay}, {"params": net.plain, "weight_decay": 0}]

    if kind == "sgd":
        return torch.optim.SGD(groups(5e-4), lr, momentum=0.9, nesterov=True)
    if kind == "adamw":
        return torch.optim.AdamW(groups(0.05), lr, eps=1e-8)
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups(1e-4), lr, alpha=0.99, eps=1e-8, momentum=0.9)
    raise ValueError(kind)


def main(folder):
    torch.set_num_threads(1)
    job = json.loads((folder / "job.json").read_text())
    shape = (job["steps"], *job["dims"])
    images = torch.from_numpy(numpy.fromfile(folder / "images.f32", numpy.float32).reshape(shape))
    labels = torch.from_numpy(numpy.fromfile(folder / "labels.i32", numpy.int32).reshape(shape[:2]).astype(numpy.int64))
    curves = []
    for run in job["runs"]:
        dtype = torch.float64 if run["double"] else torch.float32
        net = Net(str(folder / run["net"]), dtype)
        step = optimizer(run["optimizer"], net, run["learningRate"])
        losses = []
        for x, t in zip(images, labels):
            loss = F.cross_entropy(net(x.to(dtype)), t)
            step.zero_grad()
            loss.backward()
            step.step()
            losses.append(loss.item())
        curves.append(losses)
    (folder / "losses.json").write_text(json.dumps({"torch": torch.__version__, "curves": curves}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
