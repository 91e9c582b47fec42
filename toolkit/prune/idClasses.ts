/** Classes of channel ids that live or die together, with what is known of each class. */
import { ModelError } from "../graph/errors.js";
import type { OpNode } from "../graph/graph.js";
import type { ChannelIds } from "../ops/rule.js";

/** Ids of all axes together. */
const MAX_IDS = 2 ** 22;

/** Disjoint sets of ids with path halving and union by size; a class may carry the reason why it is frozen. */
export class IdClasses {
  private readonly parent: number[] = [];
  private readonly size: number[] = [];
  private readonly reason = new Map<number, string>();
  private readonly ties = new Map<number, OpNode>();
  /** Whether a class (by representative) holds an id that a node made. */
  private readonly real: boolean[] = [];
  /** Null for ids of a parameter's axis, which are channels only if some node ties them to channels. */
  private readonly makers: (OpNode | null)[] = [];

  make(length: number, maker: OpNode | null): ChannelIds {
    const first = this.parent.length;
    if (first + length > MAX_IDS)
      throw new ModelError("too-large", `the model has more than ${MAX_IDS} channels`, {
        hint: "edgefit cuts networks for small devices; this one is beyond its reach",
      });
    for (let i = 0; i < length; i++) {
      this.parent.push(first + i);
      this.size.push(1);
      this.real.push(maker !== null);
      this.makers.push(maker);
    }
    return Int32Array.from({ length }, (_, i) => first + i);
  }

  find(id: number): number {
    let i = id;
    while (this.parent[i] !== i) {
      this.parent[i] = this.parent[this.parent[i]];
      i = this.parent[i];
    }
    return i;
  }

  unite(a: number, b: number, by: OpNode): void {
    let [x, y] = [this.find(a), this.find(b)];
    if (x === y) return;
    if (this.size[x] < this.size[y]) [x, y] = [y, x];
    this.parent[y] = x;
    this.size[x] += this.size[y];
    if (this.real[x] && this.real[y]) this.ties.set(x, by);
    this.real[x] ||= this.real[y];
    const tie = this.ties.get(x) ?? this.ties.get(y);
    if (tie) this.ties.set(x, tie);
    const reason = this.reason.get(x) ?? this.reason.get(y);
    if (reason !== undefined) this.reason.set(x, reason);
  }

  freeze(id: number, reason: string): void {
    const root = this.find(id);
    if (!this.reason.has(root)) this.reason.set(root, reason);
  }

  frozen = (id: number): string | undefined => this.reason.get(this.find(id));
  isReal = (id: number): boolean => this.real[this.find(id)];
  tiedBy = (id: number): OpNode | undefined => this.ties.get(this.find(id));

  /** Per class (by representative) with a node that made one of its ids, the first such node. */
  madeBy(): Map<number, OpNode> {
    const out = new Map<number, OpNode>();
    this.makers.forEach((maker, id) => {
      const root = maker ? this.find(id) : -1;
      if (maker && !out.has(root)) out.set(root, maker);
    });
    return out;
  }
}
