/** Models and answers of TensorFlow Lite's interpreter, as test/corpus/tfliteCases.py writes them, and how far an import is from them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Graph } from "../../toolkit/graph/graph.js";
import { fromNumbers, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { withSession } from "../../toolkit/runtime/session.js";

type Listed = [name: string, dims: number[], type: keyof typeof arrays];

export interface TfliteCase {
  name: string;
  mode: "float" | "int8" | "float16" | "dynamic";
  kind: "operator" | "network";
  file: string;
  inputs: Listed[];
  outputs: Listed[];
  operators: string[];
}

const arrays = {
  float32: Float32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
} as const;

export const tfliteCases = (folder: string): TfliteCase[] =>
  JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));

export const caseBytes = (folder: string, c: TfliteCase): Uint8Array => readFileSync(join(folder, c.file));

function load(folder: string, file: string, [, dims, type]: Listed): Tensor {
  const bytes = Uint8Array.from(readFileSync(join(folder, file)));
  const data = Array.from(new arrays[type](bytes.buffer) as ArrayLike<number | bigint>, Number);
  return fromNumbers(type, data, dims);
}

/**
 * Greatest difference to the interpreter's outputs: relative to the greatest magnitude (at least 1) for floats, in steps of
 * the grid for integers. Infinity where types or shapes differ.
 */
export async function differenceTo(
  folder: string,
  c: TfliteCase,
  g: Graph,
  level: "disabled" | "all",
): Promise<number> {
  const feeds = Object.fromEntries(
    c.inputs.map((listed, k) => {
      const input = g.inputs.find((v) => v.name === listed[0]) ?? g.inputs[k];
      return [input.name, load(folder, `${c.file}.in${k}`, listed)];
    }),
  );
  return withSession(g, { level, threads: 1 }, async (s) => {
    const out = await s.run(feeds);
    let worst = 0;
    for (const [k, listed] of c.outputs.entries()) {
      const found = out[(g.outputs.find((v) => v.name === listed[0]) ?? g.outputs[k]).name];
      const wanted = load(folder, `${c.file}.out${k}`, listed);
      if (found.elemType !== wanted.elemType || found.dims.join() !== wanted.dims.join())
        return Number.POSITIVE_INFINITY;
      const [a, b] = [toNumbers(found), toNumbers(wanted)];
      let scale = 1;
      if (wanted.elemType === "float32") for (const v of b) scale = Math.max(scale, Math.abs(v));
      for (let i = 0; i < a.length; i++) {
        const d = Math.abs(a[i] - b[i]) / scale;
        if (!(d <= worst)) worst = d;
      }
    }
    return worst;
  });
}
