"""
The figures of docs/coverage.md for the peers: which parameters of the corpus Torch-Pruning and onnxsim can prune.

    python test/corpus/peers.py DIR peers.json [--only NAME …]

Figures that the file has already stay. Times are processor time.

A parameter is an element of a learned tensor with at least two axes longer than 1 (as in test/support/zoo.ts).

Torch-Pruning sees the torch net: a tensor counts when some pruning group (of more than one channel) of the dependency graph cuts it and that group does not
reach an output of the net. Timed: building the graph, then one step of its pruner over all of them (half of the channels); the
pruned net must run and give outputs of the old shape.

onnxsim sees the exported file: a tensor counts when `apply_structured_pruning(sparsity=0.5)`, followed by
`apply_attention_head_pruning`, changes its shape; the result must run in ONNX Runtime with outputs of the old shape. The TorchScript
export is used: its dims are static.
"""

import argparse
import json
import multiprocessing
import os
import resource
import signal
import time
import warnings
from queue import Empty

import numpy as np
import onnx
import onnxruntime
import torch
import torch_pruning as tp
from onnxsim import apply_attention_head_pruning, apply_structured_pruning

from architectures import ARCHITECTURES, build


def is_parameter(shape):
    return sum(d > 1 for d in shape) >= 2


def shapes_of(y):
    return [list(t.shape) for t in (y if isinstance(y, (tuple, list)) else [y]) if isinstance(t, torch.Tensor)]


def torch_pruning(name):
    net, x = build(name)
    before = shapes_of(net(x))
    params = {id(p): p for p in net.parameters() if is_parameter(p.shape)}
    total = sum(p.numel() for p in params.values())
    heads = {m.qkv: m.num_heads for m in net.modules() if hasattr(m, "qkv") and hasattr(m, "num_heads")}

    start = time.process_time()
    graph = tp.DependencyGraph().build_dependency(net, example_inputs=x, verbose=False)
    build_s = time.process_time() - start
    prunable, outputs = set(), []
    types = (tp.ops.TORCH_CONV, tp.ops.TORCH_LINEAR)
    for group in graph.get_all_groups(root_module_types=types):
        modules = [dep.target.module for dep, _ in group]
        if len(group[0].idxs) < 2:  # the only channel must stay
            continue
        if any(not dep.target.outputs and graph.is_out_channel_pruning_fn(dep.handler) for dep, _ in group):
            outputs.append(modules[0])
            continue
        for module in modules:
            own = [module] if isinstance(module, torch.nn.Parameter) else module.parameters(recurse=False)
            prunable.update(id(p) for p in own)
    share = sum(p.numel() for i, p in params.items() if i in prunable) / total
    out = {"share": share, "parameters": total, "build_s": build_s}

    names = {id(p): n for n, p in net.named_parameters()}
    out["uncut"] = [f"{names[i]}{list(p.shape)}" for i, p in params.items() if i not in prunable]
    try:
        start = time.process_time()
        pruner = tp.pruner.BasePruner(
            net, x, importance=tp.importance.GroupMagnitudeImportance(p=2), pruning_ratio=0.5,
            ignored_layers=outputs, num_heads=heads, root_module_types=types,
        )
        pruner.step()
        out["prune_s"] = time.process_time() - start
        after = shapes_of(net(x))
        left = sum(p.numel() for p in net.parameters() if is_parameter(p.shape)) / total
        out["left"] = left
        out["result"] = "runs" if after == before else f"outputs {after} instead of {before}"
    except Exception as e:
        out["result"] = f"{type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}"
    return out


def onnxsim(path):
    model = onnx.load(path)
    before = {t.name: list(t.dims) for t in model.graph.initializer if t.data_type in (1, 10, 11, 16)}
    total = sum(int(np.prod(d)) for d in before.values() if is_parameter(d))
    start = time.process_time()
    pruned = apply_structured_pruning(model, sparsity=0.5)
    pruned = apply_attention_head_pruning(pruned, sparsity=0.5)
    out = {"prune_s": time.process_time() - start, "parameters": total}
    after = {t.name: list(t.dims) for t in pruned.graph.initializer}
    cut = [n for n, d in before.items() if is_parameter(d) and after.get(n) != d]
    out["share"] = sum(int(np.prod(before[n])) for n in cut) / total
    feeds = {i.name: np.random.default_rng(1).standard_normal([d.dim_value or 1 for d in i.type.tensor_type.shape.dim]).astype("float32")
             for i in model.graph.input if i.name not in before}
    try:
        run = lambda m: [list(y.shape) for y in onnxruntime.InferenceSession(m.SerializeToString()).run(None, feeds)]
        a, b = run(model), run(pruned)
        out["result"] = "runs" if a == b else f"outputs {b} instead of {a}"
    except Exception as e:
        out["result"] = f"{type(e).__name__}: {str(e).splitlines()[0][:150]}"
    return out


def figure(tool, name, folder, queue):
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 10))
    try:
        queue.put(torch_pruning(name) if tool == "torch-pruning" else onnxsim(os.path.join(folder, f"{name}.onnx")))
    except Exception as e:  # an answer like any other: the tool cannot do this net
        queue.put({"failure": f"{type(e).__name__}: {str(e).splitlines()[0][:200] if str(e) else ''}"})


CPU_LIMIT_S = 120


def isolated(tool, name, folder):
    """The figure from a process of its own, which may crash or never end."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=figure, args=(tool, name, folder, queue))
    child.start()
    try:
        while True:
            try:
                return queue.get(timeout=1)
            except Empty:
                if child.is_alive():
                    continue
                if child.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
                    return {"failure": f"not done in {CPU_LIMIT_S} s"}
                return {"failure": f"ended with exit code {child.exitcode}"}
    finally:
        child.kill()
        child.join()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("out")
    parser.add_argument("--only", nargs="*")
    o = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    results = {}
    if os.path.exists(o.out):
        with open(o.out) as f:
            results = json.load(f)
    for name in ARCHITECTURES:
        if o.only and name not in o.only:
            continue
        for tool in ("torch-pruning", "onnxsim"):
            own = results.setdefault(name, {})
            if tool in own:
                continue
            own[tool] = isolated(tool, name, o.dir)
            print(name, tool, json.dumps({k: v for k, v in own[tool].items() if k != "uncut"}), flush=True)
            with open(f"{o.out}.part", "w") as f:
                json.dump(results, f, indent=1)
            os.replace(f"{o.out}.part", o.out)


main()
