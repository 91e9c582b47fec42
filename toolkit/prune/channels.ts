/**
 * Channel links of a whole graph as ids: every producer gives each of its output channels a fresh id, and a union-find
 * holds together what must live or die together. Asks the operators' rules and names none.
 */
import { ModelError } from "../graph/errors.js";
import { at, type Graph, type OpNode, opsetOf, typeOf, type Use, usesOf } from "../graph/graph.js";
import { readsOf } from "../graph/scope.js";
import { isOpaque, sizeOf } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { AxisIds, ChannelContext, ChannelIds, OpRule } from "../ops/rule.js";
import { IdClasses } from "./idClasses.js";

/** A node makes new channels: along `axis` of its parameter. */
export interface ProducedAxis {
  node: OpNode;
  parameter: string;
  axis: number;
  ids: ChannelIds;
}

/** A node sums over channels of its input `input`. */
export interface ContractedAxis {
  node: OpNode;
  input: number;
  axis: number;
  weight?: { name: string; axis: number };
  ids: ChannelIds;
}

/** A node takes a statistic over channels of its input `input`, which a cut takes over those that are left. */
export interface RenormalisedAxis {
  node: OpNode;
  input: number;
  axis: number;
  ids: ChannelIds;
}

/** What is known about the channels of a graph. */
export interface ChannelLinks {
  /** Ids per axis, of values and of parameters, in the order in which the graph mentions them. */
  axes: ReadonlyMap<string, AxisIds>;
  parameters: ReadonlySet<string>;
  produced: readonly ProducedAxis[];
  contracted: readonly ContractedAxis[];
  renormalised: readonly RenormalisedAxis[];
  /** Representative of an id's class. */
  find(id: number): number;
  /** Why the class of an id can never be removed; undefined when it can. */
  frozen(id: number): string | undefined;
  /** The node that made a channel; undefined for places of a parameter that stand beside channels. */
  origin(id: number): OpNode | undefined;
  /** The node that last tied the class of an id together; undefined when it has one id. */
  tiedBy(id: number): OpNode | undefined;
}

/** Longer axes are no channels; one of a billion would be asked for as many ids. */
const MAX_AXIS = 2 ** 21;

/** Walks the graph once. Expects `tidy` and `inferShapes` to have run. Linear in the number of channels. */
export function linkChannels(g: Graph): ChannelLinks {
  const linker = new Linker(g);
  for (const n of g.nodes) linker.visit(n);
  return linker.finish();
}

class Linker {
  private readonly classes = new IdClasses();
  private readonly axes = new Map<string, (ChannelIds | null)[]>();
  /** Values that are computed from initializers alone, with the initializers that they come from. */
  private readonly derived = new Map<string, readonly string[]>();
  private readonly produced: ProducedAxis[] = [];
  private readonly contracted: ContractedAxis[] = [];
  private readonly renormalised: RenormalisedAxis[] = [];
  private readonly uses: ReadonlyMap<string, Use[]>;
  private readonly reads = new Map<string, number>();
  /** Parameter axes that some reader needs whole. */
  private readonly whole: { name: string; axis: number; node: OpNode }[] = [];

  constructor(private readonly g: Graph) {
    this.uses = usesOf(g);
    for (const n of g.nodes) {
      for (const name of new Set(readsOf(n))) this.reads.set(name, (this.reads.get(name) ?? 0) + 1);
    }
  }

  visit(n: OpNode): void {
    const opset = opsetOf(this.g, n.domain);
    const rule = ruleFor(n, opset);
    const types = [...n.inputs, ...n.outputs].flatMap((name) => (name === "" ? [] : [typeOf(this.g, name)?.dims]));
    const unknownRank = types.includes(undefined);
    if (!rule?.channels || unknownRank) {
      this.freezeReads(n, whyUnknown(n, rule, unknownRank));
      return;
    }
    if (types.some((dims) => dims?.some((d) => typeof d === "number" && d > MAX_AXIS))) {
      this.freezeReads(n, `${at(n)} has a value with an axis longer than ${MAX_AXIS}`);
      return;
    }
    const sources = this.sourcesOf(n);
    const mentioned = new Set<string>();
    try {
      rule.channels(n, this.contextOf(n, opset, mentioned, sources !== undefined));
    } catch (e) {
      if (!(e instanceof ModelError) || e.code !== "too-many-elements") throw e;
      this.freezeReads(n, `${at(n)} moves more elements than edgefit follows one by one`);
      return;
    }
    if (sources) {
      for (const y of n.outputs) if (y) this.derived.set(y, sources);
      return;
    }
    this.freezeUnfollowed(n);
    for (const name of new Set(n.inputs)) {
      if (!this.isConstant(name) || (this.reads.get(name) ?? 0) < 2) continue;
      this.dims(name).forEach((_, axis) => {
        if (!mentioned.has(`${axis}:${name}`)) this.whole.push({ name, axis, node: n });
      });
    }
  }

  /**
   * Channels on an axis of an input of which the rule said nothing: they are on no output, nothing sums over them and nothing
   * holds them. What the node does with them is not known.
   */
  private freezeUnfollowed(n: OpNode): void {
    const outputs = n.outputs.flatMap((y) => (y ? (this.axes.get(y) ?? []) : [])).filter((ids) => ids !== null);
    const lists = new Set(outputs);
    let reached: Set<number> | undefined;
    n.inputs.forEach((name, input) => {
      if (!name || this.isConstant(name)) return;
      (this.axes.get(name) ?? []).forEach((ids, axis) => {
        // A lone channel may be broadcast; it always stays.
        if (!ids || ids.length === 1 || lists.has(ids) || this.isUsed(n, input, axis)) return;
        reached ??= new Set(outputs.flatMap((list) => Array.from(list, (id) => this.classes.find(id))));
        if (!ids.some((id) => reached?.has(this.classes.find(id)) || this.classes.frozen(id) !== undefined))
          this.freeze(ids, `${at(n)} uses it in a way that is not followed`);
      });
    });
  }

  /** Whether the node last visited sums or takes a statistic over an axis of its input. */
  private isUsed(n: OpNode, input: number, axis: number): boolean {
    for (const list of [this.contracted, this.renormalised]) {
      for (let i = list.length - 1; i >= 0 && list[i].node === n; i--)
        if (list[i].input === input && list[i].axis === axis) return true;
    }
    return false;
  }

  private isConstant = (name: string): boolean => this.g.initializers.has(name) || this.derived.has(name);

  /** The initializers behind a node that reads nothing else; undefined for other nodes. */
  private sourcesOf(n: OpNode): string[] | undefined {
    const out: string[] = [];
    for (const name of readsOf(n)) {
      const own = this.g.initializers.has(name) ? [name] : this.derived.get(name);
      if (!own) return undefined;
      out.push(...own);
    }
    return out.length > 0 ? out : undefined;
  }

  finish(): ChannelLinks {
    for (const { name, axis, node } of this.whole) {
      const ids = this.axes.get(name)?.[axis];
      if (ids) this.freeze(ids, `${at(node)} shares the parameter "${name}" and needs it whole`);
    }
    for (const [name, axes] of this.axes) {
      const t = this.g.initializers.get(name);
      if (!t || !isOpaque(t.elemType)) continue;
      const kind = t.elemType === "other" ? "a large sparse constant" : `of type ${t.elemType}`;
      for (const ids of axes) if (ids) this.freeze(ids, `parameter "${name}" is ${kind}, which is not cut`);
    }
    for (const v of this.g.outputs) {
      for (const ids of this.axes.get(v.name) ?? [])
        if (ids) this.freeze(ids, `it is part of graph output "${v.name}"`);
    }
    const { axes, contracted, renormalised, classes } = this;
    const makers = classes.madeBy();
    const isChannel = classes.isReal;
    for (const [name, own] of axes) {
      own.forEach((ids, axis) => {
        if (ids && !ids.some(isChannel)) own[axis] = null;
        else if (ids)
          this.freeze(
            ids.filter((id) => !isChannel(id)),
            `"${name}" holds it beside channels`,
          );
      });
    }
    return {
      axes,
      parameters: new Set([...axes.keys()].filter((name) => this.g.initializers.has(name))),
      produced: this.produced.map((p) => this.throughToInitializer(p)),
      contracted: contracted.filter(({ ids }) => ids.some(isChannel)),
      renormalised: renormalised.filter(({ ids }) => ids.some(isChannel)),
      find: (id) => classes.find(id),
      frozen: classes.frozen,
      origin: (id) => makers.get(classes.find(id)),
      tiedBy: classes.tiedBy,
    };
  }

  /** Where the weight is computed from initializers: the one of them with most elements that has the same channels. */
  private throughToInitializer(p: ProducedAxis): ProducedAxis {
    const candidates = (this.derived.get(p.parameter) ?? []).flatMap((parameter) => {
      const axis = (this.axes.get(parameter) ?? []).findIndex(
        (ids) =>
          ids?.length === p.ids.length && ids.every((id, i) => this.classes.find(id) === this.classes.find(p.ids[i])),
      );
      return axis < 0 ? [] : [{ parameter, axis, size: sizeOf(this.dims(parameter)) }];
    });
    const [best] = candidates.sort((a, b) => b.size - a.size);
    return best ? { ...p, parameter: best.parameter, axis: best.axis } : p;
  }

  private contextOf(n: OpNode, opset: number, mentioned: Set<string>, isDerivation: boolean): ChannelContext {
    const { g, classes } = this;
    let firstFresh = Number.POSITIVE_INFINITY;
    const isParameter = (name: string): boolean => !isDerivation && this.isConstant(name);
    return {
      opset,
      dims: (name) => this.dims(name),
      constant: (name) => g.initializers.get(name),
      isParameter,
      ids: (name) => this.idsOf(name),
      fresh: (length) => {
        const ids = classes.make(length, n);
        if (length > 0) firstFresh = Math.min(firstFresh, ids[0]);
        return ids;
      },
      fixed: (length, reason) => {
        const ids = classes.make(length, n);
        this.freeze(ids, reason);
        return ids;
      },
      same: (a, b) => classes.find(a) === classes.find(b),
      unify: (a, b) => this.unify(n, a, b),
      freeze: (ids, reason) => this.freeze(ids, reason),
      contract: (input, axis, weight) => {
        const ids = this.axes.get(n.inputs[input])?.[axis];
        if (ids) this.contracted.push({ node: n, input, axis, weight, ids });
      },
      renormalise: (input, axis) => {
        const ids = this.axes.get(n.inputs[input])?.[axis];
        if (ids) this.renormalised.push({ node: n, input, axis, ids });
      },
      betterWhole: (name) => this.betterWhole(name),
      set: (name, axis, ids) => {
        if (!ids) return;
        mentioned.add(`${axis}:${name}`);
        if (isParameter(name) && ids[0] >= firstFresh) this.produced.push({ node: n, parameter: name, axis, ids });
        this.set(n, name, axis, ids);
      },
    };
  }

  /** Ids of a value. Those axes of an initializer that have none get some, where they are longer than 1. */
  private idsOf(name: string): (ChannelIds | null)[] {
    const known = this.axes.get(name);
    if (!this.g.initializers.has(name)) return known ?? this.dims(name).map(() => null);
    const filled = this.dims(name).map(
      (length, axis) => known?.[axis] ?? (length > 1 ? this.classes.make(length, null) : null),
    );
    this.axes.set(name, filled);
    return filled;
  }

  private betterWhole(name: string): Set<number> {
    const rank = this.dims(name).length;
    const readers = this.uses.get(name) ?? [];
    return new Set(
      readers.flatMap(({ node, index }) => {
        const rule = ruleFor(node, opsetOf(this.g, node.domain));
        return rule?.prefersWhole?.(node, index, rank) ?? [];
      }),
    );
  }

  /** Dims with dynamic dimensions read as 1. */
  private dims(name: string): number[] {
    return (typeOf(this.g, name)?.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  }

  private set(n: OpNode, name: string, axis: number, ids: ChannelIds): void {
    const dims = this.dims(name);
    if (dims[axis] !== ids.length) {
      throw new ModelError(
        "channel-links",
        `${at(n)}: ${ids.length} channels were linked to axis ${axis} of "${name}", which has ${dims[axis]}`,
        {
          where: at(n),
          hint: "the model's shapes may not fit together; if they do, this is a bug in edgefit, please report it",
        },
      );
    }
    const own = this.axes.get(name) ?? dims.map(() => null);
    this.axes.set(name, own);
    const before = own[axis];
    if (before) this.unify(n, before, ids);
    else own[axis] = ids;
  }

  private unify(n: OpNode, a: ChannelIds, b: ChannelIds): void {
    if (a.length !== b.length) {
      throw new ModelError("channel-links", `${at(n)}: ${a.length} channels cannot be linked to ${b.length}`, {
        where: at(n),
        hint: "the model's shapes may not fit together; if they do, this is a bug in edgefit, please report it",
      });
    }
    for (let i = 0; i < a.length; i++) this.classes.unite(a[i], b[i], n);
  }

  private freeze(ids: Iterable<number>, reason: string): void {
    for (const id of ids) this.classes.freeze(id, reason);
  }

  private freezeReads(n: OpNode, reason: string): void {
    for (const name of readsOf(n)) {
      for (const ids of this.axes.get(name) ?? []) if (ids) this.freeze(ids, reason);
      // A parameter that this node reads as well must stay whole, whoever links it later.
      if ((this.reads.get(name) ?? 0) > 1)
        this.dims(name).forEach((_, axis) => {
          this.whole.push({ name, axis, node: n });
        });
    }
  }
}

function whyUnknown(n: OpNode, rule: OpRule | undefined, unknownRank: boolean): string {
  if (!rule) return `${at(n)}: edgefit has no rule for this operator`;
  if (rule.frozenBecause) return `${at(n)} ${rule.frozenBecause}`;
  return unknownRank ? `${at(n)} has a value of unknown rank` : `${at(n)}: how it links channels is not known`;
}
