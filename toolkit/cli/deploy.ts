/** `edgefit deploy`: a sample as a folder that runs elsewhere. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { examples } from "./flags.js";

const group = "Deploy:";

const declare = (y: Argv) =>
  examples(
    y
      .positional("name", { choices: ["driver-monitoring"] as const, demandOption: true, describe: "which sample" })
      .option("target", {
        choices: ["web"] as const,
        demandOption: true,
        group,
        describe: "web: static files for any web server, which work offline once opened",
      })
      .option("out", {
        type: "string",
        requiresArg: true,
        demandOption: true,
        group,
        describe: "a new or empty folder",
      })
      .option("models", {
        type: "string",
        requiresArg: true,
        group,
        describe: "folder with other models: YuNet or UltraFace, and OpenSeeFace landmarks",
      }),
    [
      "deploy driver-monitoring --target web --out site/",
      "then: node site/serve.mjs, or copy the folder to a web server",
    ],
  );

export const deploy: Command<FlagsOf<typeof declare>> = {
  command: "deploy <name>",
  describe: "Write a sample as a folder that runs elsewhere",
  builder: declare,
  async run({ out, models }, { terminal }) {
    const { findStack, ownStack } = await import("../../samples/driver-monitoring/headless/stackFolder.js");
    const { buildSite } = await import("../../samples/driver-monitoring/page/site.js");
    const { deployWeb } = await import("../../samples/driver-monitoring/deploy/web.js");
    const site = await buildSite(models === undefined ? ownStack() : await findStack(models));
    const written = await deployWeb(site, out);
    terminal.result(
      () =>
        `${written.path}: ${written.files.length} files, ${(written.sizeBytes / 1e6).toFixed(1)} MB. node ${out}/serve.mjs shows it on this machine; elsewhere the address must be https for the camera.`,
      written,
    );
  },
};
