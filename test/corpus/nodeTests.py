"""Writes the node test cases of the `onnx` package as files, for test/bench/nodeTests.ts.

    python test/corpus/nodeTests.py DIR

Newer releases of the package compute them on import and no longer carry the folder onnx/backend/test/data/node. Layout as there:
CASE/model.onnx, CASE/test_data_set_0/input_0.pb, output_0.pb, ... Beside the cases, operators.json lists the operators of the
default domain: name -> the operator-set versions that changed it.
"""

import json
import pathlib
import sys

from onnx import TensorProto, defs, numpy_helper
from onnx.backend.test.loader import load_model_tests


def message(value, info):
    """The value as a protobuf message, as its declared type asks."""
    kind = info.type.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    return value if isinstance(value, TensorProto) else numpy_helper.from_array(value, info.name)


def versions() -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            out.setdefault(schema.name, []).append(schema.since_version)
    return {name: sorted(out[name]) for name in sorted(out)}


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "operators.json").write_text(json.dumps(versions(), indent=1))
    for case in load_model_tests(kind="node"):
        where = folder / case.name
        where.mkdir(parents=True, exist_ok=True)
        (where / "model.onnx").write_bytes(case.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = where / f"test_data_set_{i}"
            data.mkdir(exist_ok=True)
            for kind, values, infos in (
                ("input", inputs, case.model.graph.input),
                ("output", outputs, case.model.graph.output),
            ):
                for j, (value, info) in enumerate(zip(values, infos, strict=True)):
                    (data / f"{kind}_{j}.pb").write_bytes(message(value, info).SerializeToString())


main(pathlib.Path(sys.argv[1]))
