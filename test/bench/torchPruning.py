"""Torch-Pruning on an ONNX net, for arena.ts. Needs torch, torch-pruning, onnx and numpy from PyPI.

    python torchPruning.py FOLDER

FOLDER/job.json names the net, a pruner (magnitude or taylor) and either ratios, for which cut nets are written without training, or one
ratio and a recipe, with which the cut net is trained and written. Layers become torch modules, everything else is run node by node; a cut
net is written by putting the modules' tensors back into the ONNX file.
"""
import json
import math
import pathlib
import sys

import numpy
import onnx
import onnx.numpy_helper
import torch
import torch.nn.functional as F
import torch_pruning

CLASSES = {"Conv": torch.nn.Conv2d, "BatchNormalization": torch.nn.BatchNorm2d, "Gemm": torch.nn.Linear}


class Net(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.model = onnx.load(path)
        self.constants = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in self.model.graph.initializer}
        self.layers = torch.nn.ModuleDict()
        for k, node in enumerate(self.model.graph.node):
            if node.op_type in CLASSES:
                self.layers[str(k)] = self.layer(node)

    def layer(self, node):
        a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        w = [self.constants[n] for n in node.input[1:]]
        if node.op_type == "Conv":
            pads = a.get("pads", [0, 0, 0, 0])
            if pads[:2] != pads[2:]:
                raise ValueError(f"{node.name}: padding that is not symmetric")
            group = a.get("group", 1)
            m = torch.nn.Conv2d(
                w[0].shape[1] * group, w[0].shape[0], w[0].shape[2:], a.get("strides", 1), pads[:2], a.get("dilations", 1), group, len(w) > 1
            )
            m.weight.data = w[0]
            if len(w) > 1:
                m.bias.data = w[1]
        elif node.op_type == "BatchNormalization":
            m = torch.nn.BatchNorm2d(len(w[0]), a.get("epsilon", 1e-5))
            m.weight.data, m.bias.data, m.running_mean.data, m.running_var.data = w
        else:
            if not a.get("transB", 0):
                raise ValueError(f"{node.name}: a Gemm without transB")
            m = torch.nn.Linear(w[0].shape[1], w[0].shape[0])
            m.weight.data, m.bias.data = w
        return m

    def forward(self, x):
        v = {self.model.graph.input[0].name: x}
        for k, node in enumerate(self.model.graph.node):
            i = [v[n] for n in node.input if n in v]
            op = node.op_type
            if op in CLASSES:
                y = self.layers[str(k)](i[0])
            elif op == "Relu":
                y = F.relu(i[0])
            elif op == "Clip":
                y = torch.clamp(i[0], 0, 6)
            elif op == "Add":
                y = i[0] + i[1]
            elif op == "GlobalAveragePool":
                y = i[0].mean((2, 3), keepdim=True)
            elif op == "AveragePool":
                y = F.avg_pool2d(i[0], i[0].shape[2:])
            elif op == "Flatten":
                y = i[0].flatten(1)
            elif op in ("Identity", "Softmax"):
                y = i[0]  # losses and the highest score are taken before a final Softmax
            else:
                raise ValueError(f"no rule for {op}")
            v[node.output[0]] = y
        return v[self.model.graph.output[0].name]

    def write(self, path):
        out = onnx.ModelProto()
        out.CopyFrom(self.model)
        tensors = {t.name: t for t in out.graph.initializer}
        for k, node in enumerate(out.graph.node):
            if node.op_type not in CLASSES:
                continue
            m = self.layers[str(k)]
            parts = [m.weight, m.bias] + ([m.running_mean, m.running_var] if node.op_type == "BatchNormalization" else [])
            for name, value in zip(node.input[1:], parts):
                tensors[name].CopyFrom(onnx.numpy_helper.from_array(value.detach().numpy(), name))
            for a in node.attribute:
                if node.op_type == "Conv" and a.name == "group":
                    a.i = m.groups
        del out.graph.value_info[:]
        onnx.save(out, path)


def batches(job, folder):
    count, *shape = job["dims"]
    images = torch.from_numpy(numpy.fromfile(folder / "images.f32", numpy.float32).reshape(count, *shape))
    labels = torch.from_numpy(numpy.fromfile(folder / "labels.i32", numpy.int32).astype(numpy.int64))
    return images, labels


def pruned(job, ratio, images, labels):
    net = Net(job["net"])
    net.eval()
    taylor = job["pruner"] == "taylor"
    importance = torch_pruning.importance.GroupTaylorImportance() if taylor else torch_pruning.importance.GroupMagnitudeImportance(p=2)
    last = [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]
    pruner = torch_pruning.pruner.BasePruner(
        net,
        images[:1],
        importance=importance,
        pruning_ratio=ratio,
        global_pruning=True,
        max_pruning_ratio=0.875,
        round_to=job["roundTo"],
        ignored_layers=[last],
    )
    if taylor:
        for i in range(0, min(512, len(images)), 128):
            F.cross_entropy(net(images[i : i + 128]), labels[i : i + 128]).backward()
    pruner.step()
    net.zero_grad()
    return net


def augmented(x, pad, black, generator):
    flip = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    wide = black[None, :, None, None].expand(len(x), -1, x.shape[2] + 2 * pad, x.shape[3] + 2 * pad).clone()
    wide[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]] = x
    out = torch.empty_like(x)
    for k, (i, j) in enumerate(torch.randint(0, 2 * pad + 1, (len(x), 2), generator=generator).tolist()):
        out[k] = wide[k, :, i : i + x.shape[2], j : j + x.shape[3]]
    return out


def rate(step, total, largest):
    """The cyclic retraining schedule of arena.ts: up from a hundredth over a tenth of the steps, then a cosine back."""
    lowest, climb = largest / 100, round(0.1 * total)
    if step < climb:
        return lowest + (largest - lowest) * step / climb
    progress = (step - climb) / max(1, total - climb - 1)
    return lowest + 0.5 * (largest - lowest) * (1 + math.cos(math.pi * progress))


def train(net, job, images, labels):
    generator = torch.Generator().manual_seed(job["seed"])
    heavy = [m.weight for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    ids = {id(p) for p in heavy}
    plain = [p for p in net.parameters() if id(p) not in ids]
    groups = [{"params": heavy, "weight_decay": job["weightDecay"]}, {"params": plain, "weight_decay": 0}]
    optimizer = torch.optim.SGD(groups, job["learningRate"], momentum=0.9, nesterov=True)
    black = torch.tensor(job["black"])
    net.train()
    order = torch.empty(0, dtype=torch.long)
    size = job["batchSize"]
    for step in range(job["steps"]):
        if len(order) < size:
            order = torch.randperm(len(images), generator=generator)
        chosen, order = order[:size], order[size:]
        for group in optimizer.param_groups:
            group["lr"] = rate(step, job["steps"], job["learningRate"])
        loss = F.cross_entropy(net(augmented(images[chosen], job["padding"], black, generator)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} of {job['steps']}, loss {loss.item():.4f}", file=sys.stderr, flush=True)
    net.eval()


def main(folder):
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    images, labels = batches(job, folder)
    if "ratios" in job:
        for k, ratio in enumerate(job["ratios"]):
            pruned(job, ratio, images, labels).write(folder / f"cut{k}.onnx")
        return
    net = pruned(job, job["ratio"], images, labels)
    train(net, job, images, labels)
    net.write(folder / "trained.onnx")
    versions = {"torch": torch.__version__, "torchPruning": getattr(torch_pruning, "__version__", "unknown")}
    (folder / "versions.json").write_text(json.dumps(versions))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
