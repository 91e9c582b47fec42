"""Writes toolkit/ops/signatures.ts from the operator schemas of the onnx package:

    python test/corpus/signatures.py > toolkit/ops/signatures.ts
"""

import onnx
from onnx import defs

LETTERS = {
    "FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "FLOATS": "F", "INTS": "I", "STRINGS": "S",
    "TENSORS": "T", "GRAPHS": "G", "TYPE_PROTO": "p", "TYPE_PROTOS": "P", "SPARSE_TENSOR": "x", "SPARSE_TENSORS": "X",
}


def slots(parameters, least):
    """r: required, o: optional, v: any number."""
    kinds = {defs.OpSchema.FormalParameterOption.Single: "r", defs.OpSchema.FormalParameterOption.Optional: "o"}
    letters = "".join(kinds.get(p.option, "v") for p in parameters)
    # Trailing parameters that may be left out count as optional, whatever they are called.
    return "".join("o" if letter == "r" and i >= least else letter for i, letter in enumerate(letters)) or "-"


def line(schema):
    attributes = [
        f"{name}:{LETTERS[a.type.name]}{'!' if a.required else ''}" for name, a in sorted(schema.attributes.items())
    ]
    return " ".join([slots(schema.inputs, schema.min_input), slots(schema.outputs, schema.min_output), *attributes])


versions = {}
for schema in defs.get_all_schemas_with_history():
    if schema.domain == "" and not schema.deprecated:
        versions.setdefault(schema.name, []).append((schema.since_version, line(schema)))

print(f'''/**
 * Inputs, outputs and attributes of the default domain's operators, one line per version in which they changed: name, first
 * operator set, inputs, outputs (r required, o optional, v any number, - none), attributes with their kinds (! required).
 * Made by `test/corpus/signatures.py` from the operator schemas of onnx {onnx.__version__} (Apache-2.0).
 */
export const signatures = `\\''')
for name in sorted(versions):
    before = None
    for since, text in sorted(versions[name]):
        if text != before:
            print(f"{name} {since} {text}")
        before = text
print("`;")
