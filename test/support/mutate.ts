/** Damage to ONNX files: to the meaning of fields, to their structure, and to bytes. Everything is drawn from one seed. */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { listOps } from "../../toolkit/ops/index.js";
import { uniform } from "./graphs.js";
import { bytesOfTree, copyTree, type FieldNode, placesOf } from "./protoTree.js";

type Place = { list: FieldNode[]; index: number };

const numbers = [
  0n,
  1n,
  -1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  16n,
  255n,
  256n,
  65_536n,
  2n ** 24n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 40n,
  2n ** 53n,
  2n ** 62n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  -2n,
  -7n,
];
const texts = [
  "",
  "x",
  "x".repeat(5000),
  "../secret.bin",
  "/etc/hostname",
  "__proto__",
  "constructor",
  "\0",
  "\ud83d\ude00",
  "a/b c",
  "NOTSET",
  "SAME_UPPER",
  "bilinear",
  "nearest",
  "-1",
  "18446744073709551616",
  "9007199254740993",
];
const floats = [0, -0, 1, -1, 1e-38, 1e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5];

/** Draws from a seed. */
export class Draw {
  private readonly next: () => number;
  constructor(seed: number) {
    this.next = uniform(seed);
  }
  below = (n: number): number => Math.floor(this.next() * n);
  chance = (p: number): boolean => this.next() < p;
  of = <T>(list: readonly T[]): T => list[this.below(list.length)];
}

const operators = [...new Set(listOps().map((o) => o.opType)), "Loop", "Scan", "NoSuchOperator"];
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const places = (root: FieldNode[]): Place[] => placesOf(root).filter(({ list, index }) => list[index] !== undefined);
const textFields = new Set("input output name op_type key value s dim_param domain ref_attr_name".split(" "));
const isText = (f: FieldNode): boolean => f.bytes !== undefined && textFields.has(f.field?.name ?? "");

type Mutation = (root: FieldNode[], d: Draw) => void;

/** A field for which `wanted` holds, or undefined. */
function pick(root: FieldNode[], d: Draw, wanted: (f: FieldNode) => boolean): Place | undefined {
  const found = places(root).filter(({ list, index }) => wanted(list[index]));
  return found.length > 0 ? d.of(found) : undefined;
}

const withField = (
  root: FieldNode[],
  d: Draw,
  wanted: (f: FieldNode) => boolean,
  change: (f: FieldNode, p: Place) => void,
): void => {
  const place = pick(root, d, wanted);
  if (place) change(place.list[place.index], place);
};

/** The field with other contents, in place of the old one (copies elsewhere in the tree stay as they are). */
const replace = ({ list, index }: Place, changes: Partial<FieldNode>): void => {
  list[index] = { ...list[index], ...changes };
};

const named =
  (...names: string[]) =>
  (f: FieldNode): boolean =>
    f.field !== undefined && names.includes(f.field.name);

const mutations: Record<string, Mutation> = {
  remove: (root, d) =>
    withField(
      root,
      d,
      () => true,
      (_, { list, index }) => list.splice(index, 1),
    ),
  repeat: (root, d) =>
    withField(
      root,
      d,
      () => true,
      (f, { list, index }) => {
        const times = d.chance(0.1) ? 1000 : d.of([1, 1, 2, 5]);
        if (weightOf([f]) * times < MAX_GROWTH) list.splice(index, 0, ...Array<FieldNode>(times).fill(f));
      },
    ),
  number: (root, d) =>
    withField(
      root,
      d,
      (f) => f.value !== undefined,
      (f, p) => replace(p, { value: d.chance(0.3) ? (f.value ?? 0n) + d.of([1n, -1n]) : d.of(numbers) }),
    ),
  // Fields that say how long, how many and which: hit more often than the rest.
  measure: (root, d) =>
    withField(root, d, named("dims", "dim_value", "i", "ints", "data_type", "elem_type", "type", "version"), (f, p) =>
      f.value !== undefined
        ? replace(p, { value: d.chance(0.5) ? BigInt(d.below(30)) : d.of(numbers) })
        : replace(p, { bytes: packed(d) }),
    ),
  text: (root, d) => withField(root, d, isText, (_, p) => replace(p, { bytes: text(d.of(texts)) })),
  rewire: (root, d) => {
    const other = pick(root, d, named("input", "output", "name"));
    const bytes = other?.list[other.index].bytes;
    if (bytes)
      withField(
        root,
        d,
        (f) => named("input", "output", "name")(f) && f.bytes !== undefined,
        (_, p) => replace(p, { bytes }),
      );
  },
  operator: (root, d) => withField(root, d, named("op_type"), (_, p) => replace(p, { bytes: text(d.of(operators)) })),
  bytes: (root, d) =>
    withField(
      root,
      d,
      (f) => f.bytes !== undefined,
      (f, p) => replace(p, { bytes: damaged(f.bytes ?? new Uint8Array(0), d) }),
    ),
  float: (root, d) =>
    withField(
      root,
      d,
      (f) => f.wireType === WireType.Bit32,
      (_, p) => replace(p, { bytes: new Uint8Array(Float32Array.of(d.of(floats)).buffer) }),
    ),
  kind: (root, d) =>
    withField(
      root,
      d,
      () => true,
      (f, p) =>
        replace(
          p,
          d.chance(0.5)
            ? { no: 1 + d.below(30) }
            : {
                wireType: d.of([WireType.Varint, WireType.Bit32, WireType.Bit64, WireType.LengthDelimited]),
                value: f.value ?? 1n,
                bytes: f.bytes ?? new Uint8Array(8),
                children: undefined,
              },
        ),
    ),
  graft: (root, d) =>
    withField(
      root,
      d,
      (f) => f.message !== undefined,
      (f) => {
        const other = pick(root, d, (o) => o.message === f.message);
        if (other && f.children && weightOf([other.list[other.index]]) < MAX_GROWTH)
          f.children.push(
            ...(d.chance(0.5)
              ? copyTree(other.list[other.index].children ?? [])
              : [copyTree([other.list[other.index]])[0]]),
          );
      },
    ),
  exchange: (root, d) =>
    withField(
      root,
      d,
      () => true,
      (f, p) => {
        const other = pick(root, d, (o) => o.no === f.no && o.message === f.message && o !== f);
        if (!other) return;
        const [a, b] = [copyTree([f])[0], copyTree([other.list[other.index]])[0]];
        p.list[p.index] = b;
        other.list[other.index] = a;
      },
    ),
  shuffle: (root, d) =>
    withField(
      root,
      d,
      (f) => (f.children?.length ?? 0) > 1,
      (f) => {
        const list = f.children ?? [];
        for (let i = list.length - 1; i > 0; i--) {
          const j = d.below(i + 1);
          [list[i], list[j]] = [list[j], list[i]];
        }
      },
    ),
  nest: (root, d) =>
    withField(root, d, named("attribute"), (f) => {
      const graph = root.find(named("graph"));
      if (!f.children || !graph?.children) return;
      const depth = d.of([1, 3, 30, 40, 10_000]);
      f.children.push({ no: 6, wireType: WireType.LengthDelimited, bytes: nested(bytesOfTree(graph.children), depth) });
    }),
};

/** A file that is merely long proves nothing. */
const MAX_GROWTH = 4e6;

const MAX_BYTES = 2e7;

/** About how many bytes fields take. */
const weightOf = (fields: readonly FieldNode[]): number =>
  fields.reduce((sum, f) => sum + 4 + (f.bytes?.length ?? 0) + (f.children ? weightOf(f.children) : 0), 0);

/** A graph in a graph attribute of a node in a graph in … */
function nested(graph: Uint8Array, depth: number): Uint8Array {
  const heads: Uint8Array[] = [];
  let length = graph.length;
  // Fields from the inside: g of an attribute, attribute of a node, node of a graph.
  for (let i = 0; i < 3 * depth; i++) {
    const head = new BinaryWriter()
      .tag([6, 5, 1][i % 3], WireType.LengthDelimited)
      .uint32(length)
      .finish();
    heads.push(head);
    length += head.length;
  }
  return new Uint8Array(Buffer.concat([...heads.reverse(), graph]));
}

/** A packed list of numbers. */
function packed(d: Draw): Uint8Array {
  const count = d.below(6);
  const list: FieldNode[] = Array.from({ length: count }, () => ({
    no: 1,
    wireType: WireType.Varint,
    value: d.of(numbers),
  }));
  return Uint8Array.from(list.flatMap((f) => [...bytesOfTree([f]).subarray(1)]));
}

function damaged(bytes: Uint8Array, d: Draw): Uint8Array {
  if (bytes.length === 0) return new Uint8Array(1 + d.below(8));
  const at = d.below(bytes.length);
  switch (d.below(4)) {
    case 0: {
      const out = bytes.slice();
      for (let i = 1 + d.below(4); i > 0; i--) out[d.below(out.length)] ^= 1 << d.below(8);
      return out;
    }
    case 1:
      return bytes.slice(0, at);
    case 2: {
      const out = new Uint8Array(bytes.length + 1 + d.below(9));
      out.set(bytes);
      return out;
    }
    default:
      return bytes.slice().fill(d.below(256), at, at + 1 + d.below(16));
  }
}

/** Damage that leaves a file decodable, so that what lies behind the decoder is reached. */
const plausible = [
  "number",
  "measure",
  "measure",
  "text",
  "rewire",
  "operator",
  "float",
  "exchange",
  "shuffle",
  "remove",
];

/** A damaged copy of a file, given as its tree. */
export function mutate(seed: readonly FieldNode[], d: Draw): { bytes: Uint8Array; mutations: string[] } {
  const names = d.chance(0.6) ? plausible : Object.keys(mutations);
  let root = copyTree(seed);
  const done: string[] = [];
  if (d.chance(0.95)) {
    for (let i = d.of([1, 1, 1, 2, 2, 3, 5, 9]); i > 0 && root.length > 0; i--) {
      const name = d.of(names);
      mutations[name](root, d);
      done.push(name);
      // Repeated fields share what is in them, so that growth there multiplies.
      if (weightOf(root) > MAX_BYTES) root = copyTree(seed);
    }
  }
  let bytes: Uint8Array = bytesOfTree(root);
  if (done.length === 0 || d.chance(0.05)) {
    for (let i = 1 + d.below(4); i > 0 && bytes.length > 0; i--) bytes = damaged(bytes, d);
    done.push("raw");
  }
  return { bytes, mutations: done };
}
