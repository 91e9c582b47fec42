/** `edgefit agent`: this machine as a device of a hub, and the same program as a bundle for a board. */
import { join } from "node:path";
import type { Argv } from "yargs";
import { TARGETS } from "../../runners/agent/targets.js";
import { UsageError } from "../graph/errors.js";
import { packageRoot, toolVersion } from "../version.js";
import type { Command, Context, FlagsOf } from "./command.js";
import { examples } from "./flags.js";
import { joinFlags, joinHub } from "./joinHub.js";
import { facts } from "./tables.js";

const group = "Bundle:";

const declare = (y: Argv) =>
  examples(
    joinFlags(
      y.positional("action", {
        choices: ["join", "bundle"] as const,
        default: "join" as const,
        describe: "join a hub from this machine, or pack the agent for a board",
      }),
    )
      .option("target", {
        choices: Object.keys(TARGETS),
        group,
        describe: "the board",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        group,
        describe: "new folder, or a file that ends in .tgz (edgefit-agent-TARGET)",
      }),
    ["agent --hub http://192.168.1.5:8717 --token TOKEN", "this machine becomes a device of the hub, until Ctrl-C"],
    ["agent --hub http://192.168.1.5:8717 --token TOKEN --threads 4 --name lab-pi", "four threads, under a name"],
    ["agent bundle --target linux-arm64 --out agent.tgz", "one file for a Raspberry Pi; needs only Node there"],
  );

type Flags = FlagsOf<typeof declare>;

export const agent: Command<Flags> = {
  command: "agent [action]",
  describe: "Be a device of a hub, or pack the program that makes a board one",
  builder: declare,
  run: (flags, context) => (flags.action === "bundle" ? bundle(flags, context) : joinHub(flags, context)),
};

async function bundle({ target, out }: Flags, { terminal }: Context): Promise<void> {
  if (target === undefined) {
    throw new UsageError("missing-flag", "the kind of board is missing", {
      where: "--target",
      hint: `choose one of ${Object.keys(TARGETS).join(", ")}`,
    });
  }
  const { bundleAgent } = await import("../../runners/agent/bundle.js");
  const made = await bundleAgent({
    target,
    out: out ?? `edgefit-agent-${target}`,
    entry: join(import.meta.dirname, `agentMain.${import.meta.filename.endsWith(".ts") ? "ts" : "js"}`),
    version: toolVersion(),
    nodeVersion: await neededNode(),
  });
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  terminal.result(
    (c) =>
      facts(
        [
          ["written", made.path],
          ["for", made.boards],
          [
            "size",
            made.packedBytes === null ? mb(made.sizeBytes) : `${mb(made.packedBytes)}, ${mb(made.sizeBytes)} unpacked`,
          ],
          ["needs", `Node ${made.nodeVersion} or newer on the board; Node itself is not in it`],
          ["start", "./agent --hub http://ADDRESS:PORT --token TOKEN"],
        ],
        c,
      ),
    made,
  );
}

/** Lowest version of Node, as the package asks for it. */
async function neededNode(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const { engines } = JSON.parse(await readFile(join(packageRoot(), "package.json"), "utf8"));
  return String(engines.node).replace(/[^\d.]/g, "");
}
