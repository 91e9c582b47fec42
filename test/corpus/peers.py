"""
The figures of docs/coverage.md for the peers: which parameters of the corpus Torch-Pruning and onnxsim can prune.

    python test/corpus/peers.py DIR [--only NAME …] > peers.json

A parameter is an element of a learned tensor with at least two axes longer than 1 (as in test/support/zoo.ts).

Torch-Pruning sees the torch net: a tensor counts when some pruning group of the dependency graph cuts it and that group does not
reach an output of the net. Timed: building the graph, then one step of its pruner over all of them (half of the channels); the
pruned net must run and give outputs of the old shape.

onnxsim sees the exported file: a tensor counts when `apply_structured_pruning(sparsity=0.5)`, followed by
`apply_attention_head_pruning`, changes its shape; the result must run in ONNX Runtime with outputs of the old shape. The TorchScript
export is used: its dims are static.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings


def is_parameter(shape):
    return sum(d > 1 for d in shape) >= 2


def shapes_of(y):
    import torch

    return [list(t.shape) for t in (y if isinstance(y, (tuple, list)) else [y]) if isinstance(t, torch.Tensor)]


def torch_pruning(name):
    import torch
    import torch_pruning as tp

    from architectures import build

    torch.set_num_threads(1)
    net, x = build(name)
    before = shapes_of(net(x))
    params = {id(p): p for p in net.parameters() if is_parameter(p.shape)}
    total = sum(p.numel() for p in params.values())
    heads = {m.qkv: m.num_heads for m in net.modules() if hasattr(m, "qkv") and hasattr(m, "num_heads")}

    start = time.perf_counter()
    graph = tp.DependencyGraph().build_dependency(net, example_inputs=x, verbose=False)
    build_s = time.perf_counter() - start
    prunable, outputs = set(), []
    types = (tp.ops.TORCH_CONV, tp.ops.TORCH_LINEAR)
    for group in graph.get_all_groups(root_module_types=types):
        modules = [dep.target.module for dep, _ in group]
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
        start = time.perf_counter()
        pruner = tp.pruner.BasePruner(
            net, x, importance=tp.importance.GroupMagnitudeImportance(p=2), pruning_ratio=0.5,
            ignored_layers=outputs, num_heads=heads, root_module_types=types,
        )
        pruner.step()
        out["prune_s"] = time.perf_counter() - start
        after = shapes_of(net(x))
        left = sum(p.numel() for p in net.parameters() if is_parameter(p.shape)) / total
        out["left"] = left
        out["result"] = "runs" if after == before else f"outputs {after} instead of {before}"
    except Exception as e:
        out["result"] = f"{type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}"
    return out


def onnxsim(path):
    import numpy as np
    import onnx
    import onnxruntime
    import onnxsim

    model = onnx.load(path)
    before = {t.name: list(t.dims) for t in model.graph.initializer if t.data_type in (1, 10, 11, 16)}
    total = sum(int(np.prod(d)) for d in before.values() if is_parameter(d))
    start = time.perf_counter()
    pruned = onnxsim.apply_structured_pruning(model, sparsity=0.5)
    pruned = onnxsim.apply_attention_head_pruning(pruned, sparsity=0.5)
    out = {"prune_s": time.perf_counter() - start, "parameters": total}
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--child", nargs=2)
    o = parser.parse_args()
    if o.child:
        warnings.filterwarnings("ignore")
        tool, name = o.child
        figure = torch_pruning(name) if tool == "torch-pruning" else onnxsim(os.path.join(o.dir, f"{name}.onnx"))
        print("\n" + json.dumps(figure))
        return
    from architectures import ARCHITECTURES

    results = {}
    for name in ARCHITECTURES:
        if o.only and name not in o.only:
            continue
        results[name] = {}
        for tool in ("torch-pruning", "onnxsim"):
            command = [sys.executable, "-B", __file__, o.dir, "--child", tool, name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=300)
                lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
                last = lines[-1] if lines else f"exit code {done.returncode}"
                results[name][tool] = json.loads(last) if done.returncode == 0 else {"failure": last[:200]}
            except subprocess.TimeoutExpired:
                results[name][tool] = {"failure": "not done in 300 s"}
            print(name, tool, json.dumps({k: v for k, v in results[name][tool].items() if k != "uncut"}), file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


main()
