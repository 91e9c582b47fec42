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
    """r: required, o: optional, v: any number; a digit where parameters with that digit must have one element type."""
    kinds = {defs.OpSchema.FormalParameterOption.Single: "r", defs.OpSchema.FormalParameterOption.Optional: "o"}
    variadic = defs.OpSchema.FormalParameterOption.Variadic
    shared = []
    for p in parameters:
        several = sum(q.type_str == p.type_str for q in parameters) > 1 or p.option == variadic
        if several and p.is_homogeneous and "(" not in p.type_str and p.type_str not in shared:
            shared.append(p.type_str)
    out = ""
    for i, p in enumerate(parameters):
        letter = kinds.get(p.option, "v")
        # Trailing parameters that may be left out count as optional, whatever they are called.
        out += "o" if letter == "r" and i >= least else letter
        if p.type_str in shared and p.is_homogeneous:
            out += str(shared.index(p.type_str))
    return out or "-"


def line(schema):
    attributes = [
        f"{name}:{LETTERS[a.type.name]}{'!' if a.required else ''}" for name, a in sorted(schema.attributes.items())
    ]
    outputs = "".join(c for c in slots(schema.outputs, schema.min_output) if not c.isdigit())
    return " ".join([slots(schema.inputs, schema.min_input), outputs, *attributes])


versions = {}
for schema in defs.get_all_schemas_with_history():
    if schema.domain == "" and not schema.deprecated:
        versions.setdefault(schema.name, []).append((schema.since_version, line(schema)))

print(f'''/**
 * Inputs, outputs and attributes of the default domain's operators, one line per version in which they changed: name, first
 * operator set, inputs, outputs (r required, o optional, v any number, - none; inputs with the same digit have the same element
 * type), attributes with their kinds (! required).
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
