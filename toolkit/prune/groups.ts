/**
 * Groups of channels that a pruner chooses the width of. Channels of one group are interchangeable: they are made by the
 * same axes and appear on the same axes, so keeping n of them gives the same shapes whichever n they are.
 *
 * Toy: `Conv a (8 channels) -> Relu -> Conv b (8) -> Add(input of b)` has one group of width 8, made by a and b together:
 * channel 3 of a and channel 3 of b live or die together. `Concat(a, b)` instead gives two groups, one each.
 */
import { ModelError } from "../graph/errors.js";
import { at, type Graph, typeOf } from "../graph/graph.js";
import { type ChannelLinks, linkChannels } from "./channels.js";

/** A node that makes the group's channels, along `axis` of its weight (and along its bias). */
export interface Producer {
  node: string;
  weight: string;
  axis: number;
  bias?: string;
}

/** A node that sums over the group's channels: on `inputAxis` of its input `input`; its coefficients are on `weightAxis` of `weight`. */
export interface Consumer {
  node: string;
  input: number;
  inputAxis: number;
  weight?: string;
  weightAxis?: number;
}

/** A node whose statistic over axis `inputAxis` of its input `input` follows the cut. */
export interface Renormaliser {
  node: string;
  input: number;
  inputAxis: number;
}

/** An axis on which the group's channels appear, each `multiplicity` times (a flattened map: height x width times). */
export interface Member {
  value: string;
  axis: number;
  parameter: boolean;
  multiplicity: number;
}

export interface Group {
  /** Name of the first node that makes these channels, with a counter where it makes several groups. */
  id: string;
  /** Number of channels; at least one is always kept. */
  width: number;
  /** Why no channel of the group can be removed; absent when they can. */
  frozen?: string;
  producers: readonly Producer[];
  consumers: readonly Consumer[];
  /**
   * Nodes that take a statistic over the group's channels (a mean, a maximum, a normalisation): in a cut net it is taken
   * over the channels that are left. Absent where there are none.
   */
  renormalised?: readonly Renormaliser[];
  members: readonly Member[];
}

/** Group id -> kept channels of the group, ascending. Groups that are not named stay whole. */
export type Keep = ReadonlyMap<string, Int32Array>;

/** Group id -> number of kept channels. */
export type Widths = ReadonlyMap<string, number>;

/** Which channel lives at each position of an axis. */
export interface AxisLayout {
  /** Index into `groups`, per position. */
  group: Int32Array;
  /** Channel within that group, per position. */
  channel: Int32Array;
}

/** Length of an axis as a function of the widths: `fixed + Σ multiplicity · width(group)`. */
export interface SymbolicDim {
  fixed: number;
  terms: { group: string; multiplicity: number }[];
}

export interface ChannelGroups {
  groups: readonly Group[];
  /** Groups that may lose channels. */
  prunable: readonly Group[];
  /** Throws ModelError for an id that is not there. */
  group(id: string): Group;
  /** What lives on an axis of a value or parameter; undefined when the axis cannot be cut. */
  layout(value: string, axis: number): AxisLayout | undefined;
  /** Values and parameters with at least one axis that has a layout. */
  values(): Iterable<string>;
  /** Lengths of the axes of a value or parameter; dynamic dimensions count as 1. Frozen groups are part of `fixed`. */
  symbolicDims(value: string): SymbolicDim[];
}

interface Cell {
  value: string;
  axis: number;
  ids: Int32Array;
}

/** Finds the groups of a graph on which `tidy` and `inferShapes` have run. Linear in the number of channels. */
export function findGroups(g: Graph): ChannelGroups {
  const links = linkChannels(g);
  const cells: Cell[] = [...links.axes].flatMap(([value, axes]) =>
    axes.flatMap((ids, axis) => (ids ? [{ value, axis, ids }] : [])),
  );
  const { groupOf, channelOf, first, widths } = classify(links, cells);

  const layouts = new Map<string, (AxisLayout | undefined)[]>();
  const members: Member[][] = widths.map(() => []);
  for (const { value, axis, ids } of cells) {
    const layout = {
      group: ids.map((id) => groupOf.get(links.find(id)) as number),
      channel: ids.map((id) => channelOf.get(links.find(id)) as number),
    };
    const own = layouts.get(value) ?? [];
    own[axis] = layout;
    layouts.set(value, own);
    for (const [group, count] of countOf(layout.group)) {
      const parameter = links.parameters.has(value);
      members[group].push({ value, axis, parameter, multiplicity: count / widths[group] });
    }
  }
  const groups: Group[] = widths.map((width, i) => {
    const frozen = links.frozen(first[i]) ?? whyAlone(links, first[i], width, members[i]);
    return {
      id: links.origin(first[i])?.name ?? members[i][0].value,
      width,
      ...(frozen === undefined ? {} : { frozen }),
      producers: [],
      consumers: [],
      members: members[i],
    };
  });
  addProducers(g, links, groups, (id) => groupOf.get(links.find(id)) as number);
  addConsumers(links, groups, (id) => groupOf.get(links.find(id)) as number);
  addRenormalisers(links, groups, (id) => groupOf.get(links.find(id)) as number);
  nameGroups(groups);
  return view(g, groups, layouts);
}

/** Why a group of one channel stays: a net needs it, or some node ties together what would be several. */
function whyAlone(links: ChannelLinks, id: number, width: number, members: readonly Member[]): string | undefined {
  if (width > 1) return undefined;
  const places = Math.max(...members.map((m) => m.multiplicity));
  const [by, maker] = [links.tiedBy(id), links.origin(id)];
  return by && places > 1
    ? `${at(by)} ties its ${places} channels into one`
    : `${maker ? at(maker) : members[0].value} makes it, alone of its kind: one channel always stays`;
}

/** Classes with the same signature (the axes they appear on, and why they are frozen) form one group. */
function classify(links: ChannelLinks, cells: readonly Cell[]) {
  // A signature grows by one cell at a time; equal growth from equal signatures gives equal signatures.
  const signature = new Map<number, number>();
  let last = 0;
  for (const { ids } of cells) {
    const grown = new Map<number, number>();
    for (const id of ids) {
      const root = links.find(id);
      const before = signature.get(root) ?? 0;
      let after = grown.get(before);
      if (after === undefined) {
        after = ++last;
        grown.set(before, after);
      }
      signature.set(root, after);
    }
  }
  const groupOf = new Map<number, number>();
  const channelOf = new Map<number, number>();
  const first: number[] = [];
  const widths: number[] = [];
  const bySignature = new Map<string, number>();
  for (const { ids } of cells) {
    for (const id of ids) {
      const root = links.find(id);
      if (groupOf.has(root)) continue;
      const key = `${signature.get(root)}|${links.frozen(root) ?? ""}`;
      const group = bySignature.get(key) ?? widths.length;
      if (group === widths.length) {
        bySignature.set(key, group);
        widths.push(0);
        first.push(id);
      }
      groupOf.set(root, group);
      channelOf.set(root, widths[group]++);
    }
  }
  return { groupOf, channelOf, first, widths };
}

/** A group is named after the first node with a weight that makes it, else after whichever node its channels come from. */
function nameGroups(groups: Group[]): void {
  const taken = new Set<string>();
  for (const group of groups) {
    const base = group.producers[0]?.node ?? group.id;
    let name = base;
    for (let i = 2; taken.has(name); i++) name = `${base}#${i}`;
    taken.add(name);
    group.id = name;
  }
}

function countOf(group: Int32Array): Map<number, number> {
  const out = new Map<number, number>();
  for (const e of group) out.set(e, (out.get(e) ?? 0) + 1);
  return out;
}

function addProducers(g: Graph, links: ChannelLinks, groups: Group[], groupOf: (id: number) => number): void {
  for (const { node, parameter, axis, ids } of links.produced) {
    const isBias = (g.initializers.get(parameter)?.dims.length ?? 0) < 2;
    for (const i of new Set(Array.from(ids, groupOf))) {
      const list = groups[i].producers as Producer[];
      const own = list.find((p) => p.node === node.name);
      if (isBias && own) own.bias = parameter;
      else if (!isBias) list.push({ node: node.name, weight: parameter, axis });
    }
  }
}

function addConsumers(links: ChannelLinks, groups: Group[], groupOf: (id: number) => number): void {
  for (const { node, input, axis, weight, ids } of links.contracted) {
    for (const i of new Set(Array.from(ids, groupOf))) {
      const consumer: Consumer = { node: node.name, input, inputAxis: axis };
      if (weight) Object.assign(consumer, { weight: weight.name, weightAxis: weight.axis });
      (groups[i].consumers as Consumer[]).push(consumer);
    }
  }
}

function addRenormalisers(links: ChannelLinks, groups: Group[], groupOf: (id: number) => number): void {
  for (const { node, input, axis, ids } of links.renormalised) {
    for (const i of new Set(Array.from(ids, groupOf))) {
      groups[i].renormalised = [...(groups[i].renormalised ?? []), { node: node.name, input, inputAxis: axis }];
    }
  }
}

function view(g: Graph, groups: Group[], layouts: Map<string, (AxisLayout | undefined)[]>): ChannelGroups {
  const byId = new Map(groups.map((e) => [e.id, e]));
  const layout = (value: string, axis: number): AxisLayout | undefined => layouts.get(value)?.[axis];
  return {
    groups,
    prunable: groups.filter((e) => e.frozen === undefined && e.width > 1),
    group: (id) => {
      const found = byId.get(id);
      if (!found) throw new ModelError("group", `there is no channel group "${id}"`);
      return found;
    },
    layout,
    values: () => layouts.keys(),
    symbolicDims: (value) =>
      (typeOf(g, value)?.dims ?? []).map((d, axis) => {
        const own = layout(value, axis);
        if (!own) return { fixed: typeof d === "number" ? d : 1, terms: [] };
        const out: SymbolicDim = { fixed: 0, terms: [] };
        for (const [i, count] of countOf(own.group)) {
          if (groups[i].frozen !== undefined) out.fixed += count;
          else out.terms.push({ group: groups[i].id, multiplicity: count / groups[i].width });
        }
        return out;
      }),
  };
}

/** Kept positions of an axis, ascending; undefined when all are kept. */
export function keptPositions(groups: ChannelGroups, keep: Keep, value: string, axis: number): Int32Array | undefined {
  const layout = groups.layout(value, axis);
  if (!layout) return undefined;
  const sets = new Map<number, Set<number> | undefined>();
  const kept: number[] = [];
  layout.group.forEach((group, position) => {
    if (!sets.has(group)) {
      const list = keep.get(groups.groups[group].id);
      sets.set(group, list && new Set(list));
    }
    const set = sets.get(group);
    if (!set || set.has(layout.channel[position])) kept.push(position);
  });
  return kept.length === layout.group.length ? undefined : Int32Array.from(kept);
}

/** Throws ModelError for keep sets that are empty, out of order or out of range, or that cut a frozen group. */
export function checkKeep(groups: ChannelGroups, keep: Keep): void {
  for (const [id, kept] of keep) {
    const group = groups.group(id);
    const fail = (what: string): never => {
      throw new ModelError("keep", `channel group "${id}" ${what}`, { where: id });
    };
    if (kept.length === 0) fail("would lose its last channel");
    kept.forEach((v, i) => {
      if (v < 0 || v >= group.width) fail(`has ${group.width} channels, channel ${v} is not among them`);
      if (i > 0 && v <= kept[i - 1]) fail("has kept channels out of order");
    });
    if (group.frozen !== undefined && kept.length < group.width) fail(`cannot be cut: ${group.frozen}`);
  }
}
