/** Topological order of nodes: stable and in linear time. */
import { ModelError } from "./errors.js";
import { at, type Graph, type OpNode } from "./graph.js";
import { readsOf } from "./scope.js";

/**
 * The nodes of `g` so that each comes after the producers of what it reads. Nodes that are already in order keep their
 * order exactly; otherwise a producer is pulled in front of its first reader and the rest stays. Throws ModelError `cycle`,
 * naming the nodes of one cycle, and `duplicate-value` when two nodes make the same value.
 */
export function topologicalOrder(g: Pick<Graph, "nodes">): OpNode[] {
  const producer = new Map<string, number>();
  g.nodes.forEach((n, i) => {
    for (const o of n.outputs) {
      if (!o) continue;
      const other = producer.get(o);
      if (other !== undefined)
        throw new ModelError("duplicate-value", `value "${o}" is made twice, by ${at(g.nodes[other])} and by ${at(n)}`);
      producer.set(o, i);
    }
  });
  const before = g.nodes.map((n) => [...new Set(readsOf(n).flatMap((name) => producer.get(name) ?? []))]);
  const sorted: OpNode[] = [];
  const state = new Uint8Array(g.nodes.length); // 0 new, 1 on the current path, 2 done
  // Depth first from each node in turn, with a stack of its own: files hold chains longer than JavaScript's.
  for (let root = 0; root < g.nodes.length; root++) {
    if (state[root] === 2) continue;
    const path = [{ node: root, next: 0 }];
    state[root] = 1;
    while (path.length > 0) {
      const top = path[path.length - 1];
      if (top.next === before[top.node].length) {
        state[top.node] = 2;
        sorted.push(g.nodes[top.node]);
        path.pop();
        continue;
      }
      const wanted = before[top.node][top.next++];
      if (state[wanted] === 1)
        throw cycleError(
          g.nodes,
          path.map((p) => p.node),
          wanted,
        );
      if (state[wanted] === 0) {
        state[wanted] = 1;
        path.push({ node: wanted, next: 0 });
      }
    }
  }
  return sorted;
}

/** `g.nodes` itself when it is in order, else `topologicalOrder(g)`. Errors as there. */
export function sortTopologically(g: Pick<Graph, "nodes">): OpNode[] {
  const sorted = topologicalOrder(g);
  return sorted.every((n, i) => n === g.nodes[i]) ? g.nodes : sorted;
}

const CYCLE_NODES_SHOWN = 8;

function cycleError(nodes: readonly OpNode[], path: readonly number[], closing: number): ModelError {
  const cycle = path
    .slice(path.indexOf(closing))
    .map((i) => at(nodes[i]))
    .reverse();
  const shown =
    cycle.length > CYCLE_NODES_SHOWN ? [...cycle.slice(0, CYCLE_NODES_SHOWN), `… (${cycle.length} nodes)`] : cycle;
  return new ModelError("cycle", `the graph has a cycle: ${shown.join(" -> ")} -> ${cycle[0]}`);
}
