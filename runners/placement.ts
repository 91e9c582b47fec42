/** Where nodes ran, against where they should have: the runtime moves a node that its provider lacks to the processor without a word. */
import type { Engine } from "./engine.js";
import { DeviceError } from "./errors.js";
import type { FallenNode } from "./runner.js";

/** Nodes that a sentence names. */
const NAMED = 5;

/**
 * Returns the nodes that did not run on the engine's provider. Throws DeviceError `provider-mismatch`, which names them, unless
 * the engine allows that; and `provider-unused` where no node ran there at all, which no fallback is.
 */
export function assertProvider(
  nodes: readonly FallenNode[],
  { provider, allowFallback = false }: Pick<Engine, "provider" | "allowFallback">,
): FallenNode[] {
  const fallen = nodes
    .filter((n) => n.provider !== provider)
    .map(({ name, opType, provider: place }) => ({ name, opType, provider: place }));
  if (fallen.length > 0 && !allowFallback) {
    throw new DeviceError(
      "provider-mismatch",
      `${fallen.length} of ${nodes.length} nodes did not run on ${provider}: ${describeFallen(fallen)}`,
      { hint: "--allow-fallback measures the model as it is split up; --provider cpu measures the processor alone" },
    );
  }
  if (fallen.length > 0 && fallen.length === nodes.length) {
    throw new DeviceError("provider-unused", `no node ran on ${provider}; all ran on ${fallen[0].provider}`, {
      hint: "measure that provider by its own name",
    });
  }
  return fallen;
}

/** `"conv0" (Conv) on CPUExecutionProvider`, and how many more. */
export function describeFallen(fallen: readonly FallenNode[]): string {
  const named = fallen.slice(0, NAMED).map((n) => `"${n.name}" (${n.opType}) on ${n.provider}`);
  const more = fallen.length - named.length;
  return named.join(", ") + (more > 0 ? ` and ${more} more` : "");
}
