/** Small transformers, in the forms that exporters write. */
import type { Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { Layers } from "./layers.js";

export interface TransformerOptions {
  /** Width of the residual stream. Default 12. */
  width?: number;
  heads?: number;
  /** Width of the hidden layer. Default 20. */
  hidden?: number;
  blocks?: number;
  /** Queries, keys and values by one product or by three. */
  packed?: boolean;
  /** LayerNormalization in primitive operators. */
  primitives?: boolean;
}

/** A vision transformer on 3 x 8 x 8 pictures: patches, class token, places, blocks, head. */
export function visionTransformer(o: TransformerOptions = {}): Graph {
  const { width = 12, heads = 2, hidden = 20, blocks = 2, packed = false, primitives = false } = o;
  const n = new Layers(20);
  const { b } = n;
  const dense = (name: string, x: Ref, from: number, to: number): Ref =>
    b.add(
      b.matmul(x, n.parameter(`${name}.weight`, [from, to], -0.5, 0.5), { name }),
      n.parameter(`${name}.bias`, [to]),
    );
  const norm = (name: string, x: Ref): Ref => {
    const [scale, shift] = [n.parameter(`${name}.scale`, [width], 0.5, 1.5), n.parameter(`${name}.shift`, [width])];
    if (!primitives) return b.emit("LayerNormalization", [x, scale, shift], { axis: attr.int(-1) }, { name });
    const centred = b.sub(x, b.reduceMean(x, [-1], true, { name: `${name}.mean` }));
    const variance = b.reduceMean(b.emit("Pow", [centred, b.const(2)]), [-1], true, { name: `${name}.variance` });
    return b.add(b.mul(b.div(centred, b.sqrt(b.add(variance, b.const(1e-6)))), scale), shift);
  };
  const tokens = 17;
  const head = width / heads;
  const patches = b.conv(
    b.input("x", [1, 3, 8, 8]),
    n.parameter("patch.weight", [width, 3, 2, 2]),
    n.parameter("patch.bias", [width]),
    { strides: [2, 2] },
    { name: "patch" },
  );
  const rows = b.transpose(b.reshape(patches, [1, width, 16]), [0, 2, 1]);
  let x = b.add(b.concat([n.parameter("class", [1, 1, width]), rows], 1), n.parameter("places", [1, tokens, width]));
  for (let i = 0; i < blocks; i++) {
    const name = (what: string): string => `block${i}.${what}`;
    const y = norm(name("norm1"), x);
    let parts: Ref[];
    if (packed) {
      const all = b.reshape(dense(name("qkv"), y, width, 3 * width), [1, tokens, 3, heads, head]);
      const moved = b.transpose(all, [2, 0, 3, 1, 4]);
      parts = [0, 1, 2].map((k) => b.emit("Gather", [moved, b.ints(k)], { axis: attr.int(0) }));
    } else {
      parts = ["q", "k", "v"].map((p) =>
        b.transpose(b.reshape(dense(name(p), y, width, width), [1, tokens, heads, head]), [0, 2, 1, 3]),
      );
    }
    const [q, k, v] = parts;
    const scaled = b.mul(b.matmul(q, b.transpose(k, [0, 1, 3, 2])), b.const(head ** -0.5));
    const attended = b.matmul(b.emit("Softmax", [scaled], { axis: attr.int(-1) }), v);
    const joined = b.reshape(b.transpose(attended, [0, 2, 1, 3]), [1, tokens, width]);
    x = b.add(x, dense(name("projection"), joined, width, width));
    const gelu = b.emit("Gelu", [dense(name("up"), norm(name("norm2"), x), width, hidden)]);
    x = b.add(x, dense(name("down"), gelu, hidden, width));
  }
  const first = b.emit("Gather", [norm("norm", x), b.ints(0)], { axis: attr.int(1) });
  return n.done(n.gemm("head", first, width, 5));
}
