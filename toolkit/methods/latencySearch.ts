/**
 * A search for a net under a budget of milliseconds, in the sense of MnasNet (Tan et al., "MnasNet: Platform-Aware Neural Architecture
 * Search for Mobile", CVPR 2019): measured latency decides, and widths, depth and kernel sizes are searched together. As in Once-for-All
 * (Cai, Gan, Wang, Zhang, Han, ICLR 2020) candidates share the weights of one supernet and an evolutionary search picks among
 * them.
 *
 * The space is what the given net allows: candidate widths of every group, each branch of a residual sum there or not, and centres of
 * kernels above 3x3 (`elastic.ts`). MobileNetV2 and MBConv nets of the zoo have all three; give them kernels of 5 or 7 and more blocks than they
 * will need. The supernet is trained by the sandwich rule with in-place distillation. Candidates are scaled to the budget, and judged on
 * held-out images by the supernet. The best is cut out and trained on.
 *
 * The cost: the table's, kernels of a branch that is left out cost nothing, and a smaller kernel saves the share of its layer that
 * measuring the whole net with and without it shows (counted, where the cost is multiply-accumulates). Deviations: the budget is a hard
 * constraint instead of MnasNet's reward ACC (LAT / T)^w; evolution instead of reinforcement learning; no progressive shrinking.
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { Graph } from "../graph/graph.js";
import { inferShapes } from "../ops/infer.js";
import { dropBranches } from "../prune/branches.js";
import { findGroups, type Widths } from "../prune/groups.js";
import { streamOf } from "../train/index.js";
import { fullWidths, withTarget } from "./cost.js";
import { withKept } from "./cut.js";
import {
  branchPlaces,
  cropKernels,
  type ElasticBranch,
  type ElasticKernel,
  elasticBranches,
  elasticKernels,
  rimOf,
} from "./elastic.js";
import { evolve, type Genes } from "./evolution.js";
import { withStatistics } from "./finishing.js";
import { fitWidths } from "./fitWidths.js";
import { keepAt } from "./gates.js";
import type { Cost, MethodContext, PruningMethod } from "./method.js";
import { numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { drawnAround, smallest, trainSandwich, widest } from "./slimmable.js";
import { type SubNet, Supernet } from "./supernet.js";

import { aimed } from "./widths.js";

const settings = {
  search: "share of the steps that training of the supernet gets; default 0.4",
  population: "nets per generation; default 16",
  generations: "generations after the first; default 8",
  images: "held-out images that each net is judged on; default 256",
};

/** A net of the space. */
export interface Design {
  widths: Map<string, number>;
  /** Branches that are left out. */
  without: ReadonlySet<ElasticBranch>;
  /** Kernel size by node, where it is not the full one. */
  kernels: ReadonlyMap<string, number>;
}

export class DesignSpace {
  readonly branches: readonly ElasticBranch[];
  readonly kernels: readonly ElasticKernel[];
  private readonly ids: readonly string[];
  /** Share of its layer's cost that a smaller kernel saves, by node and size. */
  private readonly savings = new Map<string, Map<number, number>>();

  constructor(
    private readonly c: MethodContext,
    readonly net: Supernet,
  ) {
    this.ids = [...net.candidates.keys()];
    this.branches = elasticBranches(c.graph, c.groups);
    this.kernels = elasticKernels(c.graph).filter((k) => net.layout.entries.some((e) => e.name === k.weight));
  }

  /** Measures what smaller kernels save. */
  async measureKernels(): Promise<void> {
    const { c } = this;
    if (this.kernels.length === 0) return;
    const whole = await c.measure(c.graph);
    for (const { node, sizes } of this.kernels) {
      const part = c.cost.parts.find((p) => p.id === node)?.of(new Map()) ?? 0;
      const own = new Map<number, number>();
      for (const size of sizes.slice(0, -1)) {
        const saved = part > 0 ? (whole - (await c.measure(cropKernels(c.graph, new Map([[node, size]]))))) / part : 0;
        own.set(size, Math.max(0, Math.min(1, saved)));
      }
      this.savings.set(node, own);
    }
  }

  /** Number of choices of each gene: widths, then branches, then kernels. */
  get choices(): number[] {
    return [
      ...this.ids.map((id) => this.net.candidates.get(id)!.length),
      ...this.branches.map(() => 2),
      ...this.kernels.map((k) => k.sizes.length),
    ];
  }

  design(genes: Genes): Design {
    const [b, k] = [this.ids.length, this.ids.length + this.branches.length];
    return {
      widths: new Map(this.ids.map((id, i) => [id, this.net.candidates.get(id)![genes[i]]])),
      without: new Set(this.branches.filter((_, i) => genes[b + i] === 0)),
      kernels: new Map(
        this.kernels.flatMap((e, i) =>
          genes[k + i] < e.sizes.length - 1 ? [[e.node, e.sizes[genes[k + i]]] as const] : [],
        ),
      ),
    };
  }

  /** The genes with other widths. */
  withWidths(genes: Genes, widths: Widths): Genes {
    return genes.map((g, i) =>
      i < this.ids.length ? this.net.candidates.get(this.ids[i])!.indexOf(widths.get(this.ids[i])!) : g,
    );
  }

  /** Cost as a function of the widths, branches and kernels being those of a design. */
  costOf(d: Pick<Design, "without" | "kernels">): Cost {
    const { cost } = this.c;
    const gone = new Set([...d.without].flatMap((b) => [...b.nodes]));
    const cropped = cost.parts.filter((p) => d.kernels.has(p.id) && !gone.has(p.id));
    return {
      ...cost,
      of: (widths) =>
        cropped.reduce(
          (sum, p) => sum - p.of(widths) * (this.savings.get(p.id)?.get(d.kernels.get(p.id)!) ?? 0),
          cost.of(widths, gone),
        ),
    };
  }

  /** The design in the supernet. */
  subNet(d: Design): SubNet {
    const { net } = this;
    const zero = [
      ...[...d.without].flatMap((b) => branchPlaces(b, net.layout)),
      ...this.kernels.flatMap((k) => {
        const size = d.kernels.get(k.node);
        return size === undefined ? [] : rimOf(k, size, net.graph, net.layout);
      }),
    ];
    return { ...net.at(d.widths), zero: Int32Array.from(zero) };
  }

  /** The design as a net of its own, from a full-size net. */
  build(whole: Graph, d: Design): { graph: Graph; widths: Map<string, number> } {
    const { c, net } = this;
    const smaller = inferShapes(dropBranches(cropKernels(whole, d.kernels), [...d.without]));
    const groups = findGroups(smaller);
    const left = new Set(groups.prunable.map((e) => e.id));
    const keep = new Map([...keepAt(d.widths, net.orders)].filter(([id]) => left.has(id)));
    const cut = withKept({ graph: smaller, groups, widths: fullWidths(c.groups) }, keep);
    const widths = new Map(cut.widths);
    for (const id of widths.keys()) if (!left.has(id)) widths.set(id, 0);
    return { graph: cut.graph, widths };
  }
}

export const latencySearch: PruningMethod = {
  name: "search",
  title: "latency-aware search",
  paper:
    "after Tan, Chen, Pang, Vasudevan, Sandler, Howard, Le, MnasNet, CVPR 2019, and Cai, Gan, Wang, Zhang, Han, Once-for-All, ICLR 2020",
  describe:
    "Trains one supernet of all widths, depths and kernel sizes that the net allows, and looks for the best net within the budget by evolution.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      const net = await Supernet.open(c);
      try {
        const space = new DesignSpace(c, net);
        await space.measureKernels();
        await trainSpace(c, space);
        const genes = await searchSpace(c, space);
        const { without, kernels } = space.design(genes);
        const chosen = space.design(genes).widths;
        const widths = await aimed(
          c,
          (target) => fitWidths(withTarget(space.costOf({ without, kernels }), target), chosen, net.candidates),
          (w) => space.build(c.graph, { widths: new Map(w), without, kernels }).graph,
        );
        const built = space.build(net.whole(), { widths, without, kernels });
        const started = await withStatistics(c, built.graph);
        return {
          graph: started,
          widths: built.widths,
          notes: [
            `${without.size} of ${space.branches.length} branches left out`,
            `kernels: ${space.kernels.map((k) => kernels.get(k.node) ?? k.sizes.at(-1)).join(", ") || "none above 3x3"}`,
          ],
        };
      } finally {
        await net.dispose();
      }
    }),
};

async function trainSpace(c: MethodContext, space: DesignSpace): Promise<void> {
  const { net } = space;
  const random = streamOf(c.seed, 5, SEARCH_STREAM);
  const drawn = (): SubNet =>
    space.subNet({ ...space.design(evenly(space, random)), widths: drawnAround(net.candidates, random) });
  const share = numberSetting(c, "search", 0.4, { least: 0, most: 1 });
  const least = space.design(space.choices.map(() => 0));
  const ends = [net.at(widest(net.candidates)), space.subNet({ ...least, widths: smallest(net.candidates) })];
  await trainSandwich(net, {
    updates: Math.max(1, Math.floor((share * c.meter.left) / 4)),
    distil: true,
    ends,
    others: () => [drawn(), drawn()],
    stage: "training the supernet",
  });
}

/** Branches are kept in three of four draws: a net without half of its depth is rarely what is looked for. */
function evenly(space: DesignSpace, random: Parameters<typeof drawnAround>[1]): number[] {
  const first = space.net.candidates.size;
  return space.choices.map((n, i) =>
    i >= first && i < first + space.branches.length
      ? Math.min(1, uniformInt(random, 0, 3))
      : uniformInt(random, 0, n - 1),
  );
}

async function searchSpace(c: MethodContext, space: DesignSpace): Promise<Genes> {
  const { net } = space;
  const random = streamOf(c.seed, 6, SEARCH_STREAM);
  const images = numberSetting(c, "images", 256, { least: 1, whole: true });
  const population = numberSetting(c, "population", 16, { least: 2, whole: true });
  const found = await evolve({
    choices: space.choices,
    population,
    generations: numberSetting(c, "generations", 8, { least: 0, whole: true }),
    parents: Math.max(2, Math.ceil(population / 4)),
    mutation: 0.1,
    random,
    draw: () => space.withWidths(evenly(space, random), drawnAround(net.candidates, random, 1)),
    admit(genes) {
      const d = space.design(genes);
      const cost = space.costOf(d);
      if (cost.of(smallest(net.candidates)) > cost.target) return undefined;
      return space.withWidths(genes, fitWidths(cost, d.widths, net.candidates));
    },
    score: async (genes) => (await net.score(space.subNet(space.design(genes)), images)).loss,
    onScore: (done, total) => c.onProgress?.({ stage: "evolving nets", done, total }),
  });
  return found[0].genes;
}

const SEARCH_STREAM = 1 << 20;
